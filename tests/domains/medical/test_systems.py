"""Every packaged pretraining system as its YAML says it: built, trained for two steps, saved and loaded.

The whole command runs in test_medical_verbs.py for the systems that are not built on the objective library alone.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import core
from core.config.schema import PretrainConfig
from core.data.datamodule import DataModule
from core.errors import ConfigError
from core.hub import SavedModel, begin_with
from core.objectives import Step
from core.training import cli, setup
from core.training.measure import check_headline
from core.training.optim import make_optimizer

WHOLE_COMMAND = {"radclip", "convirt", "m3ae", "clip"}
FOLDER = Path(core.__file__).parents[1] / "configs" / "medical" / "pretrain"
SYSTEMS = sorted({p.stem for p in FOLDER.glob("[!_]*.yaml")} - WHOLE_COMMAND)
# Systems that begin with another run: option -> system whose model it is
NEEDS = {
    "mobileclip": {"teachers.strong.init_args.saved": "clip"},
    "dcd": {"teachers.strong.init_args.saved": "clip"},
    "uniemox": {"teachers.strong.init_args.saved": "clip"},
    "ctp_next": {"teachers.old.init_args.saved": "ctp", "init_from": "ctp"},
}
BEGINS = {"lit": "dino", "wukong": "dino", "cwcl": "dino"}  # may begin with one
STUDIES = {"train": 12, "val": 6, "test": 8}  # as in test_medical_verbs.py, so that they are simulated once
DATA = ["--data.layout_args", json.dumps({"studies": STUDIES}), "--data.batch_size", "4", "--data.prepare_workers", "0"]


class Built:
    """A system's parts, with data of a few studies."""

    def __init__(self, system: str, *argv: str) -> None:
        request = cli.read("medical", "pretrain", ["--config", system, *DATA, *argv])
        assert request is not None
        self.config = setup.check(request, PretrainConfig)
        self.model = setup.build_model(self.config.model, 0)
        self.objective = setup.build_objective(self.config.objectives, 0, self.config.teachers)
        self.processors = setup.read_by(self.model, setup.build_processors(self.config.data.processors))
        setup.check_parts(self.model, self.objective, self.processors)
        check_headline(self.model, self.processors, self.config.evaluation)
        fitted = []
        if self.config.init_from is not None:
            _, fitted = begin_with(self.model, self.processors, self.config.init_from, self.config.init_parts)
        self.data = DataModule(
            setup.build_layouts("medical", self.config.data), self.processors, self.config.data, seed=0
        )
        self.data.fit_processors(fitted)
        setup.check_fit(self.model, self.processors, self.data.layouts)

    def train(self, folder: Path, steps: int = 2) -> tuple[list[float], set[str]]:
        """Losses, and the encoders that a gradient reached."""
        self.data.prepare(["train"], bad_csv=folder / "bad.csv")
        self.objective.check(self.processors)
        self.objective.attach(self.model)
        both = torch.nn.ModuleDict({"model": self.model, "objective": self.objective}).train()
        optimizer = make_optimizer(both, self.config.optim)
        loader = iter(self.data.train_loader(total=steps, start=0, rank=0, world=1))
        losses, reached = [], set()
        for index in range(steps):
            torch.manual_seed(index)
            rng = torch.Generator().manual_seed(index)
            teachers = self.objective.teacher_models()
            step = Step(model=self.model, batch=next(loader), index=index, generator=rng, teachers=teachers)
            loss, _ = self.objective(step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self.objective.after_step(self.model, index + 1)
            losses.append(float(loss.detach()))
            for name, encoder in self.model.encoders.items():
                if any(p.grad is not None and bool(p.grad.any()) for p in encoder.parameters()):
                    reached.add(name)
        return losses, reached

    def saved(self) -> SavedModel:
        nodes = {m: self.config.data.processors[m] for m in self.processors}
        return SavedModel(
            model=self.model, model_node=self.config.model, processors=self.processors, processor_nodes=nodes
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """System -> a saved model of it, with its first weights; each is made when first asked for."""

    @cache
    def make(system: str) -> str:
        return str(Built(system).saved().save_pretrained(tmp_path_factory.mktemp("models") / system))

    return make


@pytest.fixture
def build(run):
    def made(system: str) -> Built:
        wanted = {option: run(other) for option, other in NEEDS.get(system, {}).items()}
        if system in BEGINS:
            wanted["init_from"] = run(BEGINS[system])
        return Built(system, *(word for option, path in wanted.items() for word in (f"--{option}", path)))

    return made


@pytest.mark.filterwarnings("ignore:components/inactive")  # four rows lie in their own main components
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_trains_its_encoders_and_can_be_saved(system, build, tmp_path):
    torch.set_num_threads(1)
    made = build(system)
    losses, reached = made.train(tmp_path)
    assert all(math.isfinite(loss) for loss in losses), losses
    assert reached == set(made.model.encoders) - set(made.model.frozen)
    saved = made.saved()
    again = SavedModel.from_pretrained(saved.save_pretrained(tmp_path / "model"))
    batch = next(iter(made.data.train_loader(total=1, start=0, rank=0, world=1)))
    assert set(again.processors) == set(made.processors)
    for modality in set(made.model.reads) & set(batch.inputs):
        one, two = (
            saved.model.embed(modality, batch.inputs[modality]),
            again.model.embed(modality, batch.inputs[modality]),
        )
        assert torch.equal(one[0], two[0]), modality
        np.testing.assert_allclose(one[0].norm(dim=1), 1.0, atol=1e-4)


@pytest.mark.parametrize("system", sorted(NEEDS))
def test_a_system_that_needs_a_trained_teacher_says_so_before_data_is_read(system):
    option = next(iter(NEEDS[system]))
    with pytest.raises(ConfigError, match=rf"{option.replace('.', '[.]')}: SavedTeacher requires it"):
        Built(system)


def test_the_system_of_long_texts_begins_with_a_model_of_short_ones(tmp_path):
    short = [
        "--model.encoders.report.init_args.max_length",
        "63",
        "--data.processors.report.init_args.max_length",
        "63",
    ]
    first = Built("clip", *short)
    path = first.saved().save_pretrained(tmp_path / "short")
    made = Built("longclip", "--init_from", str(path))
    old, new = (m.encoders["report"].positions for m in (first.model, made.model))
    assert torch.equal(new.first, old.table[:20])
    assert torch.equal(new.rest[::4], old.table[20:])
    assert made.processors["report"].tokenizer.to_str() == first.processors["report"].tokenizer.to_str()
    assert made.processors["summary"].vocabulary == first.processors["report"].vocabulary


def test_every_system_of_the_objective_library_is_there():
    named = """
        clip siglip filip lit wukong cwcl tcl protoclip pyramidclip tips symile one_to_k fdt lexvla irra coca mobileclip
        m2 longclip hqclip nevlp slap dcd plip uniemox mixreorg ptp cyclip xbm multimae fourm dino ibot ctp ctp_next
    """
    assert set(named.split()) <= set(SYSTEMS) | WHOLE_COMMAND
