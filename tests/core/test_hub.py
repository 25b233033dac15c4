"""A saved model gives the vectors it gave before, and nothing that is missing, damaged or foreign is loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_domain import PictureProcessor

from core import hub
from core.config.build import build
from core.data.text import TextProcessor
from core.errors import CheckpointError, ConfigError, DataError
from core.files import MANIFEST
from core.hub import SavedModel, load_encoder, weight_faults

MODEL = {
    "class_path": "core.models.DualEncoder",
    "init_args": {
        "dim": 8,
        "encoders": {
            "eye": {"class_path": "core.encoders.ImageTransformer",
                    "init_args": {"image_size": 16, "patch": 8, "width": 16, "depth": 1, "heads": 2, "channels": 1}},
            "reader": {"class_path": "core.encoders.TextTransformer",
                       "init_args": {"vocab_size": 300, "max_length": 16, "width": 16, "depth": 1, "heads": 2}},
        },
        "modalities": {"picture": "eye", "words": "reader"},
    },
}  # fmt: skip
NODES = {
    "picture": {"class_path": "toy_domain.PictureProcessor", "init_args": {"gain": 2.0}},
    "words": {"class_path": "core.data.text.TextProcessor", "init_args": {"vocab_size": 300, "max_length": 16}},
}


@pytest.fixture(scope="module")
def saved():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(MODEL)
    words = TextProcessor(vocab_size=300, max_length=16)
    words.fit(["a dark pattern", "a bright pattern"])
    processors = {"picture": PictureProcessor(gain=2.0), "words": words}
    return SavedModel(model=model, model_node=MODEL, processors=processors, processor_nodes=NODES, about={"x": 1})


@pytest.fixture
def folder(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "TRUSTED", (*hub.TRUSTED, "toy_domain."))
    return saved.save_pretrained(tmp_path / "model", card="# A card\n")


def test_loaded_again_it_gives_the_same_vectors(saved, folder, tmp_path):
    again = SavedModel.from_pretrained(folder)
    x = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    for modality, source in (("picture", tmp_path / "x.npy"), ("words", "a dark and bright pattern")):
        for pooled in (False, True):
            first = saved.encoder(modality).encode(source, pooled=pooled)
            assert np.array_equal(again.encoder(modality).encode(source, pooled=pooled), first)
    assert again.about == {"x": 1}
    assert again.processors["words"].fingerprint() == saved.processors["words"].fingerprint()
    assert not again.model.training
    assert (folder / "README.md").read_text() == "# A card\n"


def test_one_source_is_a_vector_a_list_is_a_matrix_and_text_is_no_path(saved, folder):
    encoder = load_encoder(folder, "words")
    texts = ["a dark pattern", "a bright pattern", "x"]
    whole = encoder.encode(texts, batch_size=2)
    assert whole.shape == (3, 8)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts[1]), whole[1], atol=1e-6)
    assert encoder.encode([]).shape == (0, 8)
    assert encoder.encode([], pooled=True).shape == (0, 16)
    assert encoder.encode(texts, pooled=True).shape == (3, 16)


def test_a_str_of_a_picture_is_a_path_and_what_is_wrong_with_it_is_said(folder, tmp_path):
    encoder = load_encoder(folder, "picture")
    with pytest.raises(DataError, match=r"nothing\.npy: not a readable picture"):
        encoder.encode(str(tmp_path / "nothing.npy"))
    with pytest.raises(DataError, match="the picture encoder gives a value that is not finite"):
        encoder.encode(np.full((16, 16), np.inf))
    with pytest.raises(ConfigError, match=r"no modality 'pictur'; did you mean 'picture'\?"):
        load_encoder(folder, "pictur")


def test_a_run_folder_stands_for_its_model(folder):
    assert load_encoder(folder.parent, "words").dim == 8


def test_saving_again_replaces_and_never_touches_a_folder_of_others(saved, folder, tmp_path):
    (folder / "old").write_text("")
    saved.save_pretrained(folder)
    assert not (folder / "old").exists()
    other = tmp_path / "photos"
    other.mkdir()
    (other / "one.jpg").write_text("")
    with pytest.raises(CheckpointError, match="photos: exists and holds no saved model; choose another folder"):
        saved.save_pretrained(other)
    assert [p.name for p in other.iterdir()] == ["one.jpg"]


def test_a_full_disk_while_saving_again_keeps_the_old_model(saved, folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(CheckpointError, match="cannot be written"):
        saved.save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert load_encoder(folder, "words").dim == 8


def test_tied_weights_are_saved_under_every_name(folder, saved, tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Linear(3, 3)
            self.b = torch.nn.Linear(3, 3)
            self.b.weight = self.a.weight

    from core.weights import owned

    save_file(owned(Tied().state_dict()), tmp_path / "tied.safetensors")
    assert set(load_file(tmp_path / "tied.safetensors")) == {"a.weight", "a.bias", "b.weight", "b.bias"}


def edit_config(folder: Path, edit) -> None:
    (folder / MANIFEST).unlink()
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "coreX.Y", "core..os.Popen", "torch.hub.load"])
def test_a_config_that_names_foreign_classes_is_refused_before_anything_is_imported(folder, name):
    def edit(config):
        config["model"]["init_args"]["encoders"]["eye"]["init_args"]["pool"] = {"class_path": name, "init_args": {}}

    edit_config(folder, edit)
    with pytest.raises(CheckpointError, match=re.escape(f"names the class '{name}'; a saved model may use core.,")):
        SavedModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda c: c.update(format=7), "format 7, this version reads format 1"),
        (lambda c: c.pop("model"), "'model' is missing"),
        (lambda c: c.update(processors=[1]), "'processors' is missing"),
        (lambda c: c["processors"].update({"../../etc": c["processors"]["words"]}), "'../../etc' cannot be the name"),
        (lambda c: c["model"]["init_args"].update(dimm=3), "model.init_args.dimm: DualEncoder has no such argument"),
        (lambda c: c["model"]["init_args"].update(dim="x"), "model.init_args.dim: is 'x'; should be a valid integer"),
        (lambda c: c["model"]["init_args"].update(dim=-4), "'model' cannot be built"),
        (
            lambda c: c["model"]["init_args"]["modalities"].update(words="readr"),
            "'model' cannot be built .*'reader'",
        ),
        (lambda c: c.update(model=c["processors"]["words"]), "TextProcessor is not a DualEncoder"),
        (lambda c: c["processors"]["words"]["init_args"].update(max_length=1), "'processors.words' cannot be built"),
    ],
)
def test_a_config_that_does_not_fit_says_where(folder, edit, fault):
    edit_config(folder, edit)
    with pytest.raises(CheckpointError, match=f"(?s)config.json: .*{fault}"):
        SavedModel.from_pretrained(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"3", b"[" * 100_000])
def test_a_damaged_config_is_one_error(folder, content):
    (folder / MANIFEST).unlink()
    (folder / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json: (cannot be read|format)"):
        SavedModel.from_pretrained(folder)


def test_weights_that_do_not_fit_are_named_one_by_one(folder):
    path = folder / "model.safetensors"
    (folder / MANIFEST).unlink()
    state = load_file(path)
    gone = state.pop("projections.words.linear.weight")
    state["projections.wrods.linear.weight"] = gone
    state["projections.picture.linear.weight"] = torch.zeros(3, 3)
    norm = next(name for name in state if name.endswith("norm.bias"))
    state[norm][0] = float("nan")
    save_file(state, path)
    with pytest.raises(CheckpointError) as caught:
        SavedModel.from_pretrained(folder)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{path}: does not fit the model:"
    assert sorted(lines) == sorted(
        [
            "  - - projections.words.linear.weight is missing",
            "  - + projections.wrods.linear.weight is not of the model",
            "  - projections.picture.linear.weight is (3, 3), the model's is (8, 16)",
            f"  - {norm} holds values that are not finite",
        ]
    )


def test_of_many_faults_the_first_are_shown():
    with_faults = weight_faults(torch.nn.Linear(2, 2), {f"x{i}": torch.zeros(1) for i in range(30)})
    assert len(with_faults) == 32


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "header"])
@pytest.mark.parametrize("manifest", [True, False])
def test_damaged_weights_are_never_loaded_in_silence(folder, damage, manifest):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-10])
    elif damage == "flip":
        content[-20] ^= 1
        path.write_bytes(content)
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\xff" * 8 + content[8:])
    if not manifest:
        (folder / MANIFEST).unlink()
        if damage == "flip":  # one bit of a number: only a hash can tell
            return
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        SavedModel.from_pretrained(folder)


def test_a_card_may_be_edited_and_a_tokenizer_may_not(folder):
    (folder / "README.md").write_text("another card")
    SavedModel.from_pretrained(folder)
    tokenizer = folder / "processors" / "words" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("pattern", "pattren"))
    with pytest.raises(CheckpointError, match=r"is damaged; .*again:\n  - processors/words/tokenizer"):
        SavedModel.from_pretrained(folder)


def test_pretrained_weights_are_not_fetched_when_a_model_is_loaded(folder):
    node = {"class_path": "core.encoders.ConvNet", "init_args": {"pretrained": True, "options": {"pretrained": 3}}}
    found = hub.without_downloads({"encoders": {"eye": node}, "list": [node]})
    assert found["encoders"]["eye"]["init_args"] == {"pretrained": False, "options": {"pretrained": 3}}
    assert found["list"][0]["init_args"]["pretrained"] is False


@pytest.mark.parametrize(
    ("where", "revision", "fault"),
    [
        ("someone/model", None, r"needs revision=<40-digit commit>"),
        ("someone/model", "main", r"needs revision=<40-digit commit>"),
        ("someone/model", "z" * 40, r"needs revision=<40-digit commit>"),
        ("someone/model", "A" * 40, r"needs revision=<40-digit commit>"),
        ("no/such/folder", "0" * 40, r"no such folder"),
        ("./no-such", None, r"no such folder"),
        ("/no/such", None, r"no such folder"),
        ("..", None, r"holds no saved model"),
    ],
)
def test_what_is_no_folder_and_no_pinned_repository_is_refused_without_a_connection(
    where, revision, fault, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was made"))
    with pytest.raises(CheckpointError, match=fault):
        SavedModel.from_pretrained(where, revision=revision)


def test_a_pinned_repository_is_downloaded_whole_and_loaded(folder, monkeypatch):
    asked = {}

    def snapshot_download(repo, *, revision, allow_patterns):
        asked.update(repo=repo, revision=revision, allow=allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert load_encoder("someone/model", "words", revision="0a" * 20).dim == 8
    assert asked["revision"] == "0a" * 20
    assert not any("py" in pattern or pattern == "*" for pattern in asked["allow"])


def test_a_push_uploads_the_saved_folder(saved, monkeypatch):
    pushed = {}

    class Api:
        def create_repo(self, repo_id, *, private, exist_ok):
            pushed.update(repo=repo_id, private=private)

        def upload_folder(self, *, repo_id, folder_path):
            pushed["files"] = sorted(
                p.relative_to(folder_path).as_posix() for p in Path(folder_path).rglob("*") if p.is_file()
            )
            return type("Commit", (), {"commit_url": "https://hub/commit"})  # fmt: skip

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert saved.push_to_hub("someone/model") == "https://hub/commit"
    assert pushed["private"] is True
    assert pushed["files"] == [
        "README.md",
        "config.json",
        MANIFEST,
        "model.safetensors",
        "processors/words/tokenizer.json",
    ]


def test_an_unfinished_run_is_not_a_model(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(CheckpointError, match=r"holds no saved model .*give a finished run"):
        SavedModel.from_pretrained(tmp_path / "run")
