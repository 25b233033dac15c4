"""Settings and nodes are checked whole, against real signatures, and every fault is named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from core.config.build import build
from core.config.check import FaultFinder, import_class, signature_of
from core.config.schema import EvaluationSettings, FinetuneConfig, PretrainConfig, TrainerSettings
from core.encoders import TextTransformer
from core.encoders.base import Encoder
from core.errors import ConfigError
from core.models import DualEncoder


class Part:
    def __init__(
        self,
        *,
        n: int,
        share: float = 0.5,
        sizes: tuple[int, int] = (1, 2),
        where: Path | None = None,
        inner: Part | None = None,
        parts: dict[str, Part] | None = None,
        row: list[Part] | None = None,
        anything: Any = None,
    ) -> None:
        self.n, self.share, self.sizes, self.where = n, share, sizes, where
        self.inner, self.parts, self.row, self.anything = inner, parts, row, anything


HERE = f"{__name__}.Part"


def node(**arguments: Any) -> dict[str, Any]:
    return {"class_path": HERE, "init_args": arguments}


def faults(value: Any, base: type | None = None) -> list[str]:
    finder = FaultFinder()
    finder.node("model", value, base)
    return finder.faults


def test_a_good_node_has_no_fault_and_is_built_with_the_types_of_its_signature():
    good = node(n="3", sizes=[4, 5], inner=node(n=1), parts={"a": node(n=2)}, row=[node(n=4)], anything=node(n=6))
    assert faults(good, Part) == []
    part = build(good)
    assert (part.n, part.sizes) == (3, (4, 5))
    assert (part.inner.n, part.parts["a"].n, part.row[0].n, part.anything.n) == (1, 2, 4, 6)


def test_every_fault_is_named_with_its_key_and_the_nearest_valid_name():
    bad = node(
        m=1, shar=0.1, sizes=[1, "x"], where="/no/such", inner={"class_path": "core.models.DualEncoder"},
        parts={"a": node(n="many"), "b": {"class_path": HERE, "initargs": {}}}, row=[3, node(n=1, m=2)],
    )  # fmt: skip
    names = "anything, inner, n, parts, row, share, sizes, where"
    no_number = "should be a valid integer, unable to parse string as an integer"
    assert faults(bad) == [
        f"model.init_args.m: Part has no such argument; valid: {names}",
        "model.init_args.shar: Part has no such argument; did you mean 'share'?",
        f"model.init_args.sizes: is [1, 'x']; {no_number}",
        "model.init_args.where: no such file or folder: /no/such",
        "model.init_args.inner.class_path: DualEncoder is not a Part",
        f"model.init_args.parts.a.init_args.n: is 'many'; {no_number}",
        "model.init_args.parts.b.initargs: unknown key; did you mean 'init_args'?",
        "model.init_args.parts.b.init_args.n: Part requires it and it is not given",
        "model.init_args.row.0: is 3; should be an instance of Part",
        f"model.init_args.row.1.init_args.m: Part has no such argument; valid: {names}",
        "model.init_args.n: Part requires it and it is not given",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("class_path", "fault"),
    [
        ("core.models.DualEncodr", "module 'core.models' has no class 'DualEncodr'; did you mean 'DualEncoder'?"),
        ("core.model.DualEncoder", "there is no module 'core.model'; did you mean 'models'?"),
        ("nowhere.at.All", "there is no module 'nowhere'"),
        ("DualEncoder", "is not a dotted path to a class, like core.models.DualEncoder"),
        ("core..models.X", "is not a dotted path to a class"),
        (".core.X", "is not a dotted path to a class"),
        ("core.models.dual-encoder.X", "is not a dotted path to a class"),
        ("torch.nn.functional", "module 'torch.nn' has no class 'functional'"),
        ("core.encoders.base.Encoder", "Encoder is a base class; name one that derives from it"),
    ],
)
def test_a_class_that_is_not_there_is_named_with_the_nearest(class_path, fault):
    (found,) = faults({"class_path": class_path})
    assert found.startswith("model.class_path: ")
    assert fault in found


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (3, "model: is 3; expected {class_path, init_args} describing a Encoder"),
        ({"clas_path": "x"}, "model: is {'clas_path': 'x'}; expected {class_path, init_args} describing a Encoder"),
        ({"class_path": "core.encoders.TextTransformer", "init_args": [1]},
         "model.init_args: is [1]; expected a mapping of arguments"),
        ({"class_path": "core.models.DualEncoder"}, "model.class_path: DualEncoder is not a Encoder"),
    ],
)  # fmt: skip
def test_what_is_no_node_of_the_right_kind_is_said(value, fault):
    assert faults(value, Encoder) == [fault]


def test_settings_name_unknown_missing_and_wrong_values():
    finder = FaultFinder()
    tree = {
        "model": {}, "optimm": {}, "trainer": {"max_step": 3, "max_steps": "many", "precision": "64"},
        "data": {"root": "/no/such", "limit": {"trian": 3}, "max_bad_share": 0}, "seed": -1,
        "optim": {"lr": float("nan"), "eps": float("inf")},
        "evaluation": {"prompts": {"Fluid": {"positive": ["a"], "negativ": ["b"]}}},
    }  # fmt: skip
    assert finder.settings(PretrainConfig, tree) is None
    found = "\n".join(finder.faults)
    for line in (
        "objectives: is required and not given",
        "optimm: unknown key; did you mean 'optim'?",
        "trainer.max_step: unknown key; did you mean 'max_steps'?",
        "trainer.max_steps: is 'many'; should be a valid integer",
        "trainer.precision: is '64'; should be 'auto', '32', 'bf16' or '16'",
        "data.root: no such file or folder: /no/such",
        "data.limit.trian",
        "data.max_bad_share: is 0; should be greater than 0",
        "seed: is -1; should be greater than or equal to 0",
        "optim.lr: is nan; should be",
        "optim.eps: is inf; should be a finite number",
        "evaluation.prompts: 'Fluid' needs texts under `positive` and under `negative`",
    ):
        assert line in found, found
    with pytest.raises(ConfigError, match=r"^x: 12 faults\n  - "):
        finder.raise_if_any("x")


def test_numbers_that_name_a_precision_are_read_as_the_name():
    assert TrainerSettings(precision=32).precision == "32"
    assert EvaluationSettings.model_validate({"probe": None}).probe is None


def test_paths_become_absolute_so_that_a_run_can_be_resumed_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    found = FinetuneConfig.model_validate({"task": {}, "modality": "ct", "from_run": "here", "data": {"root": "here"}})
    assert found.from_run == found.data.root == tmp_path / "here"


def test_signatures_are_those_of_the_classes():
    assert "vocab_size" in signature_of(TextTransformer)
    assert import_class("core.models.DualEncoder") is DualEncoder
    assert signature_of(nn.Module) == {}
