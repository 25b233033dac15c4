"""Dense labelling of volumes: Dice + cross-entropy, sliding windows, scores in mm on the grid of the input file.

Shape legend: V = rows, K = output channels of all groups, G = classes of one group with background, S, H, W = voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.data.dataset import named
from core.encoders.base import Encoder
from core.errors import ConfigError, nearest
from core.evaluation.segmentation import EmptyPolicy, segmentation_case, segmentation_protocol
from core.evaluation.segmentation_summary import summarise_segmentation
from core.models.segmenter import PyramidDecoder, Segmenter
from core.objectives.base import Step, Term
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome, Task
from core.types import ModalityInput

Groups = dict[str, dict[str, list[int]]]  # mask name -> class -> values in the label file


class DiceCE(Term):
    """Mean over groups of soft Dice loss + cross-entropy (Isensee et al. 2021). Voxels labelled -1 count for nothing.

    Dice is taken per class over the whole batch (background left out), so that a row without a class is no special
    case; a class absent from the batch and the prediction costs nothing.
    """

    name = "segmentation"

    def __init__(self, groups: Groups) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, step: Step) -> dict[str, Tensor]:
        (modality,) = step.model.reads
        if not step.has(modality):
            return {"loss": step.zero()}
        logits_VKSHW = step.model(step.input(modality)).float()  # type: ignore[operator]
        losses = {}
        for name, logits_VGSHW in split_groups(logits_VKSHW, self.groups).items():
            if name not in step.batch.masks:
                continue
            labels = class_index(step.batch.masks[name][step.batch.present[modality]], self.groups[name])
            losses[name] = dice_ce(logits_VGSHW, labels.to(logits_VGSHW.device))
        if not losses:
            return {"loss": step.zero()}
        return {"loss": torch.stack(list(losses.values())).mean(), **losses}


def dice_ce(logits_VGSHW: Tensor, target_VSHW: Tensor, *, background: bool = True) -> Tensor:
    """1 - mean soft Dice over foreground classes + cross-entropy, over the voxels (or pixels) whose target is not -1.

    background: class 0 is background, which Dice leaves out; False: it is a class like the others.
    """
    known_VSHW = target_VSHW >= 0
    if not known_VSHW.any():
        return logits_VGSHW.reshape(-1)[:0].sum()
    ce = F.cross_entropy(logits_VGSHW, target_VSHW, ignore_index=-1)
    prob_VGSHW = logits_VGSHW.softmax(dim=1) * known_VSHW[:, None]
    classes = logits_VGSHW.shape[1]
    hot_VGSHW = F.one_hot(target_VSHW.clamp(min=0), classes).movedim(-1, 1) * known_VSHW[:, None]
    over = (0, *range(2, logits_VGSHW.ndim))
    both_G = (prob_VGSHW * hot_VGSHW).sum(over)
    size_G = prob_VGSHW.sum(over) + hot_VGSHW.sum(over)
    dice_G = (2 * both_G + 1) / (size_G + 1)  # +1 voxel: a class in neither has Dice 1
    return ce + 1 - dice_G[int(background) :].mean()


def split_groups(logits_VKSHW: Tensor, groups: Groups) -> dict[str, Tensor]:
    """Channels of each group: background first, then its classes in order."""
    sizes = [len(classes) + 1 for classes in groups.values()]
    return dict(zip(groups, logits_VKSHW.split(sizes, dim=1)))


def class_index(values: Tensor, classes: Mapping[str, list[int]]) -> Tensor:
    """Label values of a file -> 0 background, 1.. classes; -1 (unknown) stays, values of no class are background."""
    out = torch.where(values < 0, -1, 0)
    for index, members in enumerate(classes.values(), start=1):
        out[torch.isin(values, torch.tensor(members, device=values.device))] = index
    return out


class Segmentation(Task):
    """Label maps of one or more groups; classes of one group exclude each other, groups may overlap.

    groups: mask name -> class -> values in the label file that mean it. window: (S, H, W) of the sliding window; the
    whole grid when it is not larger. overlap: of neighbouring windows, weighted by a Gaussian. widths: of the decoder,
    one per map of the encoder's pyramid. tolerance_mm: of the surface Dice. empty: rule for classes absent from the
    target. write: how many predicted label maps are kept, as files on the grid of the input.
    """

    watch = "mean_dice"

    def __init__(
        self,
        *,
        groups: Groups,
        window: tuple[int, int, int] = (24, 96, 96),
        overlap: float = 0.5,
        widths: list[int] | None = None,
        tolerance_mm: float = 3.0,
        empty: EmptyPolicy = "nan-skip",
        write: int = 8,
    ) -> None:
        if not groups or any(not classes for classes in groups.values()):
            raise ConfigError("task.groups: is empty; name masks and their classes, e.g. {organs: {liver: [6]}}")
        if not 0 <= overlap < 1:
            raise ConfigError(f"task.overlap: is {overlap}; give a share in [0, 1)")
        self.groups, self.window, self.overlap = groups, tuple(window), overlap
        self.widths, self.tolerance_mm, self.empty, self.write = widths, tolerance_mm, empty, write
        self.masks = tuple(groups)
        if len(groups) == 1:
            self.classes = ("background", *next(iter(groups.values())))

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        train = data.layouts["train"]
        there = {name for index in data.indices["train"] for name in train.record(index).masks}
        for name in self.groups:
            if name not in there:
                raise ConfigError(f"task.groups: no training record has masks '{name}'{nearest(name, there)}")
        return self.head_from(encoder, self.facts(modality, data))

    def facts(self, modality: str | Sequence[str], data: DataModule) -> dict[str, Any]:
        (name,) = named(modality)
        sample = data.dataset("train")[0]["inputs"][name]
        return {"inputs": int(data.processors[name].collate([sample]).x.shape[1])}

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        channels = list(encoder.pyramid_channels)
        if not channels:
            raise ConfigError(f"{type(encoder).__name__} gives no feature maps, which segmentation needs")
        widths = self.widths or [min(64, max(16, c // 2)) for c in channels]
        classes = sum(len(c) + 1 for c in self.groups.values())
        decoder = PyramidDecoder(classes=classes, channels=channels, widths=widths, inputs=int(facts["inputs"]))
        return Segmenter(encoder=encoder, decoder=decoder)

    def terms(self) -> list[Term]:
        return [DiceCE(self.groups)]

    @torch.no_grad()
    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        both: dict[str, list[Tensor]] = {}
        for batch in data.eval_loader("val", batch_size=2):
            if model.modality not in batch.inputs:
                continue
            predicted = self.predict(model, batch.inputs[model.modality].to(compute.device), compute)
            for name, labels_VSHW in predicted.items():
                if name not in batch.masks:
                    continue
                target = class_index(batch.masks[name][batch.present[model.modality]], self.groups[name])
                known = target >= 0
                count = len(self.groups[name]) + 1
                p, t = (F.one_hot(x.cpu()[known], count).sum(0) for x in (labels_VSHW, target))
                hit = F.one_hot(target[known][labels_VSHW.cpu()[known] == target[known]], count).sum(0)
                both.setdefault(name, []).append(torch.stack([2 * hit, p + t]))
        sums = {name: torch.stack(parts).sum(0).double() for name, parts in both.items()}
        dice = {  # a class that is neither there nor predicted says nothing
            f"dice/{name}": float((s[0, 1:] / s[1, 1:])[s[1, 1:] > 0].mean())
            for name, s in sums.items()
            if bool((s[1, 1:] > 0).any())
        }
        return {**dice, "mean_dice": float(np.mean(list(dice.values())))} if dice else {}

    @torch.no_grad()
    def predict(self, model: Downstream, inp: ModalityInput, compute: Compute) -> dict[str, Tensor]:
        """Group -> (V, S, H, W) class indices on the model grid."""
        return {name: part.argmax(dim=1) for name, part in self.scores(model, inp, compute).items()}

    @torch.no_grad()
    def scores(self, model: Downstream, inp: ModalityInput, compute: Compute) -> dict[str, Tensor]:
        """Group -> (V, G, S, H, W) probabilities on the model grid, background first."""
        logits = self.logits(model, inp, compute)
        return {name: part.softmax(dim=1) for name, part in split_groups(logits, self.groups).items()}

    @torch.no_grad()
    def logits(self, model: Downstream, inp: ModalityInput, compute: Compute) -> Tensor:
        """(V, K, S, H, W) by sliding windows with Gaussian weights where the volume is larger than the window."""

        def run(x: Tensor, mask: Tensor | None = None) -> Tensor:
            with compute.autocast():
                return model(ModalityInput(x, mask)).float()

        if all(n <= w for n, w in zip(inp.x.shape[2:], self.window)):
            return run(inp.x, inp.mask)
        from monai.inferers import sliding_window_inference

        size = tuple(min(n, w) for n, w in zip(inp.x.shape[2:], self.window))
        out = sliding_window_inference(inp.x, size, 1, run, overlap=self.overlap, mode="gaussian")
        assert isinstance(out, Tensor)
        return out

    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        processor, dataset = data.processors[model.modality], data.dataset("test")
        outcome = Outcome()
        cases: dict[str, list[Any]] = {name: [] for name in self.groups}
        groups: dict[str, list[str]] = {name: [] for name in self.groups}
        model.eval()
        for position in range(len(dataset)):
            record = dataset.record(position)
            if model.modality not in record.sources or not set(record.masks) & set(self.groups):
                continue
            source = record.sources[model.modality]
            sample = dataset.load(record)[model.modality]
            inp = processor.collate([sample]).to(compute.device)
            scores = {k: v[0].cpu().numpy() for k, v in self.scores(model, inp, compute).items()}
            predicted = {name: score.argmax(axis=0) for name, score in scores.items()}
            for name in (name for name in self.groups if name in record.masks):
                own = processor.labels_to_source(scores[name], source)
                values, spacing = processor.read_labels(record.masks[name])
                target = class_index(torch.from_numpy(values.astype(np.int64)), self.groups[name]).numpy()
                cases[name].append(
                    segmentation_case(
                        own,
                        target,
                        classes={c: i for i, c in enumerate(self.groups[name], start=1)},
                        spacing=spacing,
                        tolerance=self.tolerance_mm,
                        empty=self.empty,
                    )
                )
                groups[name].append(record.group)
                if position < self.write:
                    path = folder / "predictions" / f"{position:04d}-{name}{processor.label_suffix}"
                    processor.write_labels(own, source, path)
                    outcome.files.append(path)
            if position < 4:
                outcome.pictures.append((f"case {position + 1}", inp.x[0].cpu().numpy(), predicted))
        rules = segmentation_protocol(spacing_unit="mm", tolerance=self.tolerance_mm, empty=self.empty)
        outcome.protocol = rules
        for name in self.groups:
            if not cases[name]:
                continue
            summed = summarise_segmentation(
                cases[name], protocol=rules, groups_C=groups[name], n_bootstrap=n_bootstrap, seed=seed
            )
            outcome.numbers |= {f"test/{name}/{k}": v for k, v in summed.flat().items()}
            outcome.tables[f"{name}: mean over {len(cases[name])} held-out cases"] = (
                ["class", "Dice", "HD95 mm", f"surface Dice at {self.tolerance_mm:g} mm", "missed", "false alarms"],
                [
                    [c, f"{s.dice.mean:.3f} ± {s.dice.std:.3f}", f"{s.hd95.mean:.1f}", f"{s.nsd.mean:.3f}",
                     s.missed, s.false_positive]
                    for c, s in summed.classes.items()
                ],
            )  # fmt: skip
        return outcome
