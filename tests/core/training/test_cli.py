"""The command line: what is read, what is printed, and every mistake as one message with an exit code."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import yaml

import core
from core.config.tree import load_yaml
from core.errors import ConfigError
from core.training import cli


@pytest.fixture(autouse=True)
def _toy(toy_domain_known, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def run(capsys, verb, *argv):
    """(exit code, what was said on stderr) of a command."""
    code = cli.main("toy", verb, [str(word) for word in argv])
    return code, capsys.readouterr().err


@pytest.fixture
def no_data(monkeypatch):
    """Reading data before the configuration is known to be good is a fault."""
    monkeypatch.setattr("core.training.setup.build_layouts", lambda *_: pytest.fail("data was read"))


def test_a_misspelt_key_a_wrong_type_and_a_missing_file_are_reported_together_before_data(capsys, no_data, tmp_path):
    bad = {
        "base": str(cli.CONFIGS / "toy/pretrain/pair"),
        "trainer": {"max_stps": 3},
        "optim": {"lr": "fast"},
        "data": {"root": "/no/such/folder"},
        "model": {"init_args": {"dimm": 3}},
    }
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(bad))
    code, said = run(capsys, "pretrain", "--config", "./bad.yaml")
    assert code == cli.EXIT_USAGE
    assert "Traceback" not in said
    assert said.count("error:") == 1
    for line in (
        "4 faults",
        "trainer.max_stps: unknown key; did you mean 'max_steps'?",
        "optim.lr: is 'fast'; should be a valid number",
        "data.root: no such file or folder: /no/such/folder",
        "model.init_args.dimm: DualEncoder has no such argument; did you mean 'dim'?",
    ):
        assert line in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("argv", "fault"),
    [
        (["--trainr.max_steps", "3"], "--trainr.max_steps: unknown option; did you mean 'trainer'?"),
        (["--trainer.max_step", "3"], "trainer.max_step: unknown key; did you mean 'max_steps'?"),
        (["--seed", "many"], "seed: is 'many'; should be a valid integer"),
        (["--config", "piar"], "--config piar: no system of that name; did you mean 'pair'?"),
        (["--data.layout", "toi"], "data.layout: there is no layout 'toi'; did you mean 'toy'?"),
        (["--data.root", "null"], "data.root: layout 'Toy patterns' reads a folder; give it with --data.root DIR"),
        (["--data.layout_args.lots", "1"], "data.layout_args.lots: ToyLayout has no such argument"),
        (["--objectives.0.rows", "pictur"], "is 'pictur', which the model does not read; did you mean 'picture'?"),
        (["--objectives.0.rows", "[1]"], "objectives.0.init_args.rows: is [1]; should be a valid string"),
        (["--objectives.0.weight", "much"], "objectives.0.weight: is 'much'; should be a number"),
        (["--objectives.7.weight", "1"], "'objectives' is a list of 2; '7' is not a position in it"),
        (["--evaluation.image", "words"], "evaluation.image: 'words' is not among ['picture']"),
        (["--evaluation.prompts_as", "picture"], "evaluation.prompts_as: 'picture' is not among ['words']"),
        (["--data.processors.words", "null"], "data.processors.words: is None; expected {class_path, init_args}"),
        (["--trainer.accelerator", "tpu"], "trainer.accelerator: is 'tpu'; valid: auto, cpu, cuda, mps"),
        (["--trainer.precision", "16"], "trainer.precision: 16 needs a GPU; on a CPU use bf16, 32 or auto"),
        (["oops"], "'oops' is not an option; options look like --data.root DIR"),
        (["--model.dim"], "--model.dim: a value must follow"),
        (["--resume", "nowhere"], "--resume nowhere: no config.yaml there"),
        (["--model.modalities.words", "readr"], "modality 'words' is read by encoder 'readr'; did you mean 'reader'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_and_exit_code_2(capsys, no_data, argv, fault):
    code, said = run(capsys, "pretrain", *argv)
    assert code == 2, said
    assert fault in said
    assert "Traceback" not in said


def test_argparse_mistakes_exit_with_2_too(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main("toy", "pretrain", ["--seed"])
    assert end.value.code == 2
    assert "expected one argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ruin", "fault"),
    [
        (lambda root: shutil.rmtree(root), "no such file or folder"),
        (
            lambda root: [p.unlink() for p in root.glob("*")],
            "the Toy patterns dataset is empty here; expected",
        ),
        (lambda root: [p.write_bytes(b"x") for p in root.glob("*")], "cannot be used, more than the share 0.05"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_one_message(capsys, toy_root, tmp_path, ruin, fault):
    root = tmp_path / "data"
    shutil.copytree(toy_root, root)
    ruin(root)
    code, said = run(capsys, "pretrain", "--data.root", root, "--run_dir", tmp_path / "run")
    assert code in (1, 2)
    assert fault in said
    assert "Traceback" not in said


def test_a_run_dir_that_cannot_be_made_or_holds_a_run_is_one_message(capsys, no_data, tmp_path):
    (tmp_path / "file").write_text("")
    code, said = run(capsys, "pretrain", "--run_dir", tmp_path / "file" / "run")
    assert code == 2
    assert "cannot be made (Not a directory); choose another folder" in said
    (tmp_path / "used" / "checkpoints").mkdir(parents=True)
    code, said = run(capsys, "pretrain", "--run_dir", tmp_path / "used")
    assert code == 2
    assert f"holds a run already; choose another folder, or --resume {tmp_path / 'used'}" in said


def test_a_run_that_failed_before_training_may_be_tried_again(capsys, tmp_path):
    for _ in range(2):
        argv = ["--run_dir", tmp_path / "run", "--data.layout_args.lost", "30"]
        code, said = run(capsys, "pretrain", *argv)
        assert code == 1
        assert "more than the share" in said


def test_resume_takes_no_other_setting(tmp_path):
    (tmp_path / "config.yaml").write_text("system: pair\nseed: 0\n")
    with pytest.raises(ConfigError, match=r"exactly as it was started; leave out --seed, --optim\.lr"):
        cli.read("toy", "pretrain", ["--resume", str(tmp_path), "--seed", "1", "--optim.lr", "1"])
    with pytest.raises(ConfigError, match="leave out --config"):
        cli.read("toy", "pretrain", ["--resume", str(tmp_path), "--config", "pair"])


def test_the_printed_configuration_is_whole_and_can_be_used_as_one(capsys, tmp_path):
    assert cli.main("toy", "pretrain", ["--print_config", "--optim.lr", "3e-4"]) == 0
    shown = capsys.readouterr().out
    (tmp_path / "again.yaml").write_text(shown)
    tree = load_yaml(tmp_path / "again.yaml")
    assert tree["optim"] == {
        "lr": 3e-4, "weight_decay": 0.05, "betas": [0.9, 0.98], "eps": 1e-6, "warmup": 0.1, "schedule": "cosine",
        "final_lr": 0.01, "lr_mult": {},
    }  # fmt: skip
    request = cli.read("toy", "pretrain", ["--config", "./again.yaml"])
    assert request.tree == tree


def test_words_for_text_settings_stay_text():
    def tree(verb, *argv):
        return cli.read("toy", verb, list(argv)).tree

    assert tree("pretrain", "--run_dir", "2026")["run_dir"] == "2026"
    assert tree("pretrain", "--run_dir", "null")["run_dir"] is None
    assert tree("pretrain", "--trainer.precision", "32")["trainer"]["precision"] == "32"
    assert tree("pretrain", "--data.layout", "off")["data"]["layout"] == "off"
    assert tree("pretrain", "--data.layout", "")["data"]["layout"] == ""
    assert tree("finetune", "--modality=1")["modality"] == "1"
    assert tree("embed", "--inputs", "a: b", "it's", "3")["inputs"] == ["a: b", "it's", "3"]
    assert tree("pretrain", "--evaluation.probe", "null")["evaluation"]["probe"] is None
    assert tree("pretrain", "--optim.lr=1e-4")["optim"]["lr"] == 1e-4


def test_the_system_of_a_saved_configuration_is_remembered(tmp_path):
    text = (cli.CONFIGS / "toy/pretrain/pair.yaml").read_text()
    (tmp_path / "config.yaml").write_text("system: pair\n" + text)
    assert cli.read("toy", "pretrain", ["--config", str(tmp_path / "config.yaml")]).system == "pair"
    assert "system" not in cli.read("toy", "pretrain", ["--resume", str(tmp_path)]).tree


def test_an_unknown_domain_names_the_nearest():
    with pytest.raises(ConfigError, match=r"no domain 'toi'; did you mean 'toy'\?"):
        cli.domain_info("toi")


def test_a_bug_is_a_traceback_and_a_full_disk_is_not(capsys, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device", "/data/x")

    monkeypatch.setattr("core.training.pretrain.run", full)
    code, said = run(capsys, "pretrain")
    assert (code, said) == (1, "\nerror: /data/x: No space left on device; free some space, or choose another folder\n")
    monkeypatch.setattr("core.training.pretrain.run", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main("toy", "pretrain", [])


def test_newer_runs_come_first_and_unfinished_ones_not_at_all(tmp_path):
    import os

    from core.training.run_folder import newest_run

    assert newest_run("toy", below=tmp_path) is None
    for age, name in ((30, "pretrain-a"), (10, "pretrain-b"), (0, "finetune-c")):
        (tmp_path / "toy" / name / "model").mkdir(parents=True)
        (tmp_path / "toy" / name / "model" / "config.json").write_text("{}")
        os.utime(tmp_path / "toy" / name, (1e9 - age, 1e9 - age))
    (tmp_path / "toy" / "pretrain-z").mkdir()
    assert newest_run("toy", below=tmp_path) == tmp_path / "toy" / "pretrain-b"


def test_a_package_that_is_not_installed_is_one_message_that_names_its_extra(capsys):
    def work():
        importlib.import_module("no_such_package_of_anyone.part")

    assert cli.guarded(work, extra="remote-sensing") == cli.EXIT_USAGE
    said = capsys.readouterr().err
    assert "'no_such_package_of_anyone' is not installed" in said
    assert "pip install 'heptad[remote-sensing]'" in said


def test_a_module_of_the_suite_that_is_missing_is_a_bug():
    with pytest.raises(ModuleNotFoundError, match=r"core\.no_such_module"):
        cli.guarded(lambda: importlib.import_module("core.no_such_module") and None)


def test_an_interruption_says_what_to_do_next(capsys):
    def work():
        raise KeyboardInterrupt

    assert cli.guarded(work, after="strips are kept") == cli.EXIT_INTERRUPTED
    assert "interrupted; strips are kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# One (Doe et al. 2020): a. More.\nmodel: x\n", "One (Doe et al. 2020): a."),
        ("# A sentence over\n# two lines, at 0.5. Then more\n", "A sentence over two lines, at 0.5."),
        ("# no full stop\nkey: 1\n# not the header.\n", "no full stop"),
        ("key: 1\n", ""),
    ],
)
def test_a_system_is_described_by_the_first_sentence_of_its_header(text, told):
    assert cli.first_sentence(text) == told


def test_commands_that_domains_list_can_be_run():
    listed = [
        (path.parent.name, command)
        for path in (Path(core.__file__).parents[1] / "configs").glob("*/domain.yaml")
        for command in load_yaml(path).get("commands", {})
    ]
    assert ("molecules", "predict") in listed
    for domain, command in listed:
        assert importlib.util.find_spec(f"domains.{domain}.{command}") is not None


@pytest.mark.parametrize(
    ("words", "wanted"),
    [(["a", "b"], ["a", "b"]), (["[a, b.c]"], ["a", "b.c"]), (["[]"], []), (["[x].png"], ["[x].png"]), (["7"], ["7"])],
)
def test_a_list_is_given_as_words_or_as_it_is_written_in_yaml(words, wanted):
    assert yaml.safe_load(cli.dump_list(words)) == wanted
