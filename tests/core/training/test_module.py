"""The training loop: steps are counted, seeded and scheduled as stated, and a bad number changes nothing."""

from __future__ import annotations

import math
import time

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from core.config.schema import OptimSettings, TrainerSettings
from core.data.sampler import StepSampler
from core.encoders.base import Encoder
from core.errors import DataError
from core.models.dual_encoder import DualEncoder
from core.objectives.base import Objective, Step, Term
from core.training import checkpoint
from core.training.callbacks import Checkpoints, Metrics, Throughput, Validate
from core.training.module import TrainingError, TrainingModule, seed_of
from core.training.optim import lr_factor, make_optimizer, set_lr
from core.training.pretrain import loader_faults
from core.training.run_folder import RunFolder
from core.types import Batch, Encoded, ModalityInput


class Tower(Encoder):
    width = 3

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.dropout = nn.Linear(4, 3), nn.Dropout(0.5)
        self.conv = nn.Conv2d(3, 3, 3).to(memory_format=torch.channels_last)

    def forward(self, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        maps = self.conv(self.linear(inp.x)[:, :, None, None].expand(-1, -1, 3, 3))
        return Encoded(pooled=self.dropout(self.linear(inp.x)) + maps.flatten(1))


class Watcher(Term):
    """The norm of the embedding; counts what it is asked to do. A buffer moves in `after_step`, like a teacher's."""

    name = "watcher"

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("moved", torch.zeros(()))
        self.epochs: list[int] = []
        self.steps: list[int] = []
        self.drawn: list[float] = []
        self.factor = 1.0

    def forward(self, step: Step) -> dict[str, torch.Tensor]:
        self.steps.append(step.index)
        self.drawn.append(float(torch.rand((), generator=step.generator)))
        return {"loss": step.embedding("x").square().mean() * self.factor}

    def after_step(self, model, index) -> None:
        self.moved += index

    def on_epoch(self, model, epoch) -> None:
        self.epochs.append(epoch)


class Rows(Dataset):
    """Six items that are their own names: what the sampler gives."""

    def __getitem__(self, item):
        return item

    def __len__(self):
        return 6


def collate(items) -> Batch:
    rows = torch.tensor([row for _, row in items])
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))[rows]
    return Batch([str(int(r)) for r in rows], {"x": ModalityInput(x)}, {"x": torch.ones(len(rows), dtype=torch.bool)})


def loader(total, start=0, rank=0, world=1) -> DataLoader:
    sampler = StepSampler(6, batch_size=2, total=total, seed=0, start=start, rank=rank, world=world)
    return DataLoader(Rows(), batch_sampler=sampler, collate_fn=collate)


def training(total=7, resume=None, term=None, clip=1.0, frozen=()) -> TrainingModule:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DualEncoder(encoders={"tower": Tower()}, modalities={"x": "tower"}, dim=2, frozen=list(frozen))
    return TrainingModule(
        model, Objective(terms=[term or Watcher()]), optim=OptimSettings(lr=1e-2),
        trainer=TrainerSettings(max_steps=total, gradient_clip=clip), seed=5, make_loader=loader, resume=resume,
    )  # fmt: skip


def fit(module, *callbacks, **how) -> None:
    L.Trainer(
        accelerator="cpu", max_steps=module.total - module.start, max_epochs=-1, logger=False, inference_mode=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, callbacks=list(callbacks), **how,
    ).fit(module)  # fmt: skip


class Recorder(L.Callback):
    def __init__(self) -> None:
        self.done: list[int] = []
        self.moved: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.done.append(pl_module.done)
        self.moved.append(float(pl_module.objective.terms["watcher"].moved))


def test_steps_are_counted_once_and_what_follows_a_step_is_done_before_callbacks_see_it():
    module, recorder = training(), Recorder()
    fit(module, recorder)
    watcher = module.objective.terms["watcher"]
    assert watcher.steps == list(range(7))
    assert recorder.done == list(range(1, 8))
    assert recorder.moved == [1, 3, 6, 10, 15, 21, 28]  # a checkpoint of step n holds what step n did
    assert watcher.epochs == [0, 1, 2]  # three batches of two make an epoch of six rows


def test_every_step_draws_from_a_generator_of_its_own():
    module = training()
    fit(module)
    drawn = module.objective.terms["watcher"].drawn
    assert len(set(drawn)) == 7
    expected = torch.rand((), generator=torch.Generator().manual_seed(seed_of(6, 3)))
    assert drawn[3] == float(expected)
    assert len({seed_of(s, t, r) for s in range(5) for t in range(50) for r in range(3)}) == 750


def test_a_run_in_micro_batches_ends_in_the_weights_of_the_whole_batch():
    ends = []
    for micro_batch in (0, 1):
        module = training()
        module.settings = module.settings.model_copy(update={"micro_batch": micro_batch})
        module.model.encoders["tower"].dropout.p = 0.0  # what it draws depends on how rows are put together
        calls = []
        module.model.encoders["tower"].register_forward_pre_hook(
            lambda _, args, calls=calls: calls.append(len(args[0]))
        )
        fit(module)
        ends.append(module.model.state_dict())
        assert calls == ([2] * 7 if micro_batch == 0 else [1] * 28)  # two parts, each forward and again in backward
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=0, atol=1e-6)


def saved_run(tmp_path, total=7, every=3, module=None, resume=None):
    folder, throughput = RunFolder(tmp_path, resumed=resume is not None), Throughput()
    module = module or training(total, resume)
    validate = Validate(folder, throughput, lambda: {"figure": -abs(module.done - 4.0)}, every=2, watch="figure",
                        best=None if resume is None else resume.progress["best"])  # fmt: skip
    writes = Checkpoints(folder, throughput, validate, every=every, facts={"seed": 5})
    fit(module, throughput, Metrics(folder, throughput, 1), validate, writes)
    return module, folder


def test_validations_and_checkpoints_come_at_the_stated_steps_and_the_best_is_kept(tmp_path):
    _, folder = saved_run(tmp_path / "a")
    values = [(line["step"], line["val/figure"]) for line in folder.metrics() if "val/figure" in line]
    assert values == [(2, -2.0), (4, 0.0), (6, -2.0), (7, -3.0)]
    assert [line["step"] for line in folder.metrics() if "loss" in line] == list(range(1, 8))
    # 2 and 4 were the best when they were written; 3 and 6 by the clock; 7 is the end; the newest two and 4 remain
    assert sorted(p.name for p in folder.checkpoints.iterdir()) == [f"step-{n:08d}" for n in (4, 6, 7)]
    last = checkpoint.load_latest(folder.checkpoints)
    assert last is not None
    assert last.progress["best"] == {"step": 4, "value": 0.0}
    assert last.progress["samples"] == 14
    assert last.facts == {"seed": 5}


def test_a_module_resumed_from_a_checkpoint_ends_in_the_same_bits_whatever_its_memory_layout(tmp_path):
    whole, _ = saved_run(tmp_path / "whole")
    _, folder = saved_run(tmp_path / "part", total=7)
    for step in (7, 6):
        for path in (folder.checkpoints / f"step-{step:08d}").iterdir():
            path.unlink()
        (folder.checkpoints / f"step-{step:08d}").rmdir()
    resume = checkpoint.load_latest(folder.checkpoints)
    assert resume is not None
    assert resume.step == 4
    again, _ = saved_run(folder.path, resume=resume)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    optimizer = again.trainer.optimizers[0]
    kernel = again.model.encoders["tower"].conv.weight
    assert optimizer.state[kernel]["exp_avg"].stride() == kernel.stride() != kernel.contiguous().stride()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_raises_before_the_step_and_leaves_the_weights(value):
    term = Watcher()
    term.factor = value
    module = training(term=term)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(TrainingError, match=r"step 0: the loss is (nan|inf) \(watcher/loss=(nan|inf)\), no update"):
        fit(module)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_a_gradient_that_is_not_finite_raises_before_the_step_and_leaves_the_weights():
    class Explodes(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad * math.inf

    class Bad(Watcher):
        def forward(self, step):
            return {"loss": Explodes.apply(super().forward(step)["loss"])}

    for clip in (0.0, 1.0):
        module = training(term=Bad(), clip=clip)
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        with pytest.raises(TrainingError, match="step 0: the gradient is not finite, no update was made"):
            fit(module)
        assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_an_input_that_is_not_finite_is_named_without_its_identity(monkeypatch):
    module = training()
    real = module.transfer_batch_to_device

    def poison(batch, device, index):
        batch.inputs["x"].x[1] = math.nan
        return real(batch, device, index)

    monkeypatch.setattr(module, "transfer_batch_to_device", poison)
    with pytest.raises(TrainingError, match=r"values that are not finite in x of ref:[0-9a-f]{10}, no update"):
        fit(module)


def test_validation_leaves_modes_as_they_were_and_no_graph(tmp_path):
    module, seen = training(total=2), []

    def measure():
        seen.append((module.model.training, torch.is_grad_enabled()))
        return {}

    module.model.encoders["tower"].conv.eval()
    folder, throughput = RunFolder(tmp_path), Throughput()
    fit(module, Validate(folder, throughput, measure, every=1, watch="x"))
    assert seen == [(False, False)] * 2
    assert module.model.training
    assert not module.model.encoders["tower"].conv.training


def test_a_frozen_encoder_is_in_evaluation_mode_while_training_and_keeps_its_weights():
    seen = []

    class Looks(Watcher):
        def forward(self, step):
            seen.append((step.model.training, step.model.encoders["tower"].training))
            return super().forward(step)

    module = training(term=Looks(), frozen=["tower"])
    before = {name: tensor.clone() for name, tensor in module.model.encoders.state_dict().items()}
    fit(module)
    assert set(seen) == {(True, False)}
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.model.encoders.state_dict().items())


def test_throughput_counts_rows_and_leaves_out_what_comes_between_steps():
    class Slow(Watcher):
        def forward(self, step):
            time.sleep(0.05)
            return super().forward(step)

    class Pause(L.Callback):
        def __init__(self, throughput):
            self.throughput = throughput

        def on_train_batch_end(self, *_):
            time.sleep(0.2)
            self.throughput.pause()

    throughput = Throughput()
    fit(training(total=5, term=Slow()), throughput, Pause(throughput))
    assert throughput.samples == 10
    assert 0.25 <= throughput.seconds < 0.9
    assert throughput.overall == pytest.approx(10 / throughput.seconds)


def test_the_learning_rate_warms_up_and_decays_as_stated():
    settings = OptimSettings(warmup=0.1, schedule="cosine", final_lr=0.1)
    factors = [lr_factor(step, 100, settings) for step in range(100)]
    assert factors[:10] == [pytest.approx((i + 1) / 11) for i in range(10)]
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.1 + 0.9 * 0.5)
    assert lr_factor(100, 100, settings) == pytest.approx(0.1)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    linear = OptimSettings(warmup=0, schedule="linear", final_lr=0)
    assert [lr_factor(s, 4, linear) for s in range(5)] == [1, 0.75, 0.5, 0.25, 0]
    assert lr_factor(7, 10, OptimSettings(warmup=0, schedule="constant")) == 1


def test_decay_and_factors_reach_the_parameters_they_name():
    settings = OptimSettings(
        lr=0.1, weight_decay=0.3, lr_mult={"model.encoders": 2.0, "model.encoders.tower.conv": 5.0}
    )
    module = training()
    optimizer = make_optimizer(module, settings)
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    tower = module.model.encoders["tower"]
    assert found[id(tower.linear.weight)]["lr"] == pytest.approx(0.2)
    assert found[id(tower.conv.weight)]["lr"] == pytest.approx(0.5)
    assert found[id(tower.conv.weight)]["weight_decay"] == 0.3
    assert found[id(tower.conv.bias)]["weight_decay"] == 0
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(module.parameters()))
    set_lr(optimizer, 0.5)
    assert found[id(tower.conv.weight)]["lr"] == pytest.approx(0.25)
    set_lr(optimizer, 1.0)  # of the peak, not of what it was
    assert found[id(tower.conv.weight)]["lr"] == pytest.approx(0.5)
    tower.conv.requires_grad_(False)
    fewer = make_optimizer(module, settings)
    assert sum(len(group["params"]) for group in fewer.param_groups) == len(list(module.parameters())) - 2


def test_faults_of_loader_processes_are_one_message_without_tracebacks():
    wrapped = (
        "Caught DataError in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n  File x\n"
        "core.errors.DataError: a.npy: not a readable picture\n"
    )
    with pytest.raises(DataError, match=r"^a\.npy: not a readable picture$"), loader_faults(60):
        raise DataError(wrapped)
    with pytest.raises(DataError, match=r"^plain$"), loader_faults(60):
        raise DataError("plain")
    killed = "DataLoader worker (pid(s) 7) exited unexpectedly"
    with pytest.raises(DataError, match=r"died or gave nothing for 60 s \(DataLoader worker.*"), loader_faults(60):
        raise RuntimeError(killed)
    with pytest.raises(RuntimeError, match="mat1 and mat2"), loader_faults(60):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
