"""YAML to a tree: merging, bases, dotted overrides, and every fault with file, line and key."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from core.config.tree import (
    apply_overrides,
    dump,
    find_system,
    load_system,
    load_yaml,
    merge,
    parse_value,
    set_dotted,
)
from core.errors import ConfigError


def written(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1e-4", 1e-4), ("-2E+3", -2000.0), ("1.5e3", 1500.0), ("true", True), ("null", None), ("", None),
        ("[1, 2]", [1, 2]), ("{train: 10}", {"train": 10}), ("a b", "a b"), ("2026-01-02", "2026-01-02"),
        ("!!python/object:os.system {}", "!!python/object:os.system {}"), ("1e-4x", "1e-4x"),
    ],
)  # fmt: skip
def test_a_word_of_the_command_line_is_yaml_where_it_is_yaml(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize("text", ["[1, 2", "{a: 1, a: 2}", "[" * 5000])
def test_a_list_that_is_not_closed_is_an_error_and_not_a_string(text):
    with pytest.raises(ConfigError, match="is not valid YAML"):
        parse_value(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3\n", r"line 3, column 1: not valid YAML \(key 'a' is given twice\)"),
        ("model:\n  x: 1\n  y: [1, 2\nz: 3\n", r"line 4, column \d+: not valid YAML"),
        ("a: \tb: 1\n", "line 1, column 4: not valid YAML"),
        ("a: !!python/name:os.system\n", "line 1.*could not determine a constructor"),
        ("? [1, 2]\n: 3\n", "line 1.*a key must be text, this one is a list"),
        ("a:\n  1: 2\n", "line 2, column 3.*this one is a int; put it in quotes"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "line 3.*use `base: NAME`"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: " + "[" * 3000, "nested too deeply|not valid YAML"),
        ("- 1\n- 2\n", "holds a list, expected a mapping"),
        ("just text", "holds a str, expected a mapping"),
    ],
)
def test_a_fault_of_a_file_is_named_with_its_line(tmp_path, text, fault):
    path = written(tmp_path, bad=text) / "bad.yaml"
    with pytest.raises(ConfigError, match=fault) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read \(No such file"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"latin\.yaml: is not UTF-8 text"):
        load_yaml(tmp_path / "latin.yaml")
    (tmp_path / "empty.yaml").write_text("# only a comment\n")
    assert load_yaml(tmp_path / "empty.yaml") == {}


def test_mutated_files_give_a_tree_or_one_error(tmp_path):
    text = "model:\n  class_path: core.models.DualEncoder\n  init_args: {dim: 8, encoders: {a: [1, 2.5e-3]}}\nseed: 0\n"
    rng, path, readable = random.Random(0), tmp_path / "mutant.yaml", 0
    for _ in range(300):
        content = bytearray(text.encode())
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        with suppress(ConfigError):
            assert isinstance(load_yaml(path), dict)
            readable += 1
    assert 0 < readable < 300


def test_bases_are_laid_below_and_a_changed_class_drops_the_old_arguments(tmp_path):
    written(
        tmp_path,
        low="a: {class_path: x.A, init_args: {n: 1, m: 2}}\nb: {class_path: x.B, init_args: {n: 1}}\nc: [1, 2]\nd: 1\n",
        middle="base: low\na: {init_args: {n: 5}}\n",
        top="base: middle.yaml\nb: {class_path: x.C, init_args: {k: 2}}\nc: [3]\n",
    )
    assert load_system(tmp_path / "top.yaml") == {
        "a": {"class_path": "x.A", "init_args": {"n": 5, "m": 2}},
        "b": {"class_path": "x.C", "init_args": {"k": 2}},
        "c": [3],
        "d": 1,
    }


def test_a_circle_of_bases_is_an_error_that_shows_it(tmp_path):
    written(tmp_path, a="base: b\n", b=f"base: ../{tmp_path.name}/a\n")
    with pytest.raises(ConfigError, match=r"`base` goes in a circle: a\.yaml -> b\.yaml -> a\.yaml"):
        load_system(tmp_path / "a.yaml")


def test_a_base_or_system_that_is_not_there_names_the_nearest(tmp_path):
    written(tmp_path, radclip="a: 1\n", convirt="base: radclp\n", _hidden="a: 1\n")
    with pytest.raises(ConfigError, match=r"base 'radclp' is not a file beside it; did you mean 'radclip'\?"):
        load_system(tmp_path / "convirt.yaml")
    with pytest.raises(ConfigError, match=r"--config convrit: no system of that name; did you mean 'convirt'\?"):
        find_system("convrit", tmp_path)
    with pytest.raises(ConfigError, match=r"--config x/y\.yaml: no such file"):
        find_system("x/y.yaml", tmp_path)
    assert find_system(str(tmp_path / "radclip.yaml"), tmp_path) == tmp_path / "radclip.yaml"


def test_merge_changes_neither_side():
    below, above = {"a": {"b": [1]}}, {"a": {"c": {"d": 1}}}
    merged = merge(below, above)
    merged["a"]["b"].append(2)
    merged["a"]["c"]["d"] = 2
    assert below == {"a": {"b": [1]}}
    assert above == {"a": {"c": {"d": 1}}}


def tree():
    scale = {"class_path": "core.objectives.LogScale"}
    return {
        "model": {"class_path": "core.models.DualEncoder", "init_args": {"dim": 8, "encoders": {"a": node("x.A")}}},
        "objectives": [node("core.objectives.Pair", rows="a", scale=scale), {**node("x.T"), "weight": 2}],
        "trainer": None,
    }


def node(class_path, **arguments):
    return {"class_path": class_path, "init_args": arguments}


@pytest.mark.parametrize(
    ("dotted", "place"),
    [
        ("model.dim", "model.init_args.dim"),
        ("model.encoders.a.name", "model.init_args.encoders.a.init_args.name"),
        ("objectives.0.scale.init", "objectives.0.init_args.scale.init_args.init"),
        ("objectives.0.weight", "objectives.0.weight"),
        ("objectives.1.name", "objectives.1.init_args.name"),
        ("objectives.-1.width", "objectives.1.init_args.width"),
        ("trainer.max_steps", "trainer.max_steps"),
        ("data.limit.train", "data.limit.train"),
    ],
)
def test_a_dotted_key_reaches_lists_and_leaves_out_init_args(dotted, place):
    found = tree()
    set_dotted(found, dotted, 7)
    here = found
    for part in place.split("."):
        here = here[int(part)] if isinstance(here, list) else here[part]
    assert here == 7


def test_another_class_on_the_command_line_drops_the_old_arguments():
    overrides = [("objectives.0.class_path", "x.Other"), ("objectives.0.n", "3"), ("objectives.1.class_path", "x.T")]
    found = apply_overrides(tree(), overrides)
    assert found["objectives"][0] == {"class_path": "x.Other", "init_args": {"n": 3}}
    assert found["objectives"][1] == {"class_path": "x.T", "init_args": {}, "weight": 2}


def test_overrides_that_lead_nowhere_are_reported_together():
    overrides = [("objectives.5.weight", "1"), ("model.dim.x", "1"), ("objectives.a.weight", "1"), ("seed", "[1")]
    with pytest.raises(ConfigError) as caught:
        apply_overrides(tree(), overrides)
    assert str(caught.value).splitlines() == [
        "command line:",
        "  - --objectives.5.weight: 'objectives' is a list of 2; '5' is not a position in it",
        "  - --model.dim.x: 'model.dim' is a plain value and has no 'x'",
        "  - --objectives.a.weight: 'objectives' is a list of 2; 'a' is not a position in it",
        "  - --seed: '[1' is not valid YAML (expected ',' or ']', but got '<stream end>')",
    ]


def test_what_is_dumped_is_read_back(tmp_path):
    (tmp_path / "x.yaml").write_text(dump({**tree(), "lr": 1e-4, "name": "2026-01-02", "text": "ja: ü"}))
    assert load_yaml(tmp_path / "x.yaml") == {**tree(), "lr": 1e-4, "name": "2026-01-02", "text": "ja: ü"}
