"""Label maps of images from one or several modalities: Dice + cross-entropy, windows, IoU over labelled pixels.

Shape legend: B = rows of the batch, K = classes, H, W = pixels of the first modality.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.datamodule import DataModule
from core.data.dataset import named
from core.encoders.base import Encoder
from core.errors import ConfigError, DataError, nearest
from core.evaluation.maps import confusion, iou, map_protocol, map_scores
from core.models.map_segmenter import ConvNeXtDecoder, MapSegmenter
from core.objectives.base import Step, Term
from core.objectives.pixels.hiding import hide_some
from core.training.precision import Compute
from core.training.tasks.base import Downstream, Outcome, Task
from core.training.tasks.segmentation import dice_ce
from core.types import Batch, ModalityInput

SHOWN = 4  # held-out cases in the report
COUNTS = "test_maps.npz"  # confusion counts and group of every held-out map, by the modalities that were seen


class MapLoss(Term):
    """Soft Dice over all classes + cross-entropy, over pixels that are not labelled -1.

    drop: share of the rows with several modalities that are shown a random part of them, so that the model learns to do
    without each. Nothing labelled: an exact 0 with a graph.
    """

    name = "segmentation"

    def __init__(self, mask: str, *, drop: float) -> None:
        super().__init__()
        self.mask, self.drop = mask, drop

    def forward(self, step: Step) -> dict[str, Tensor]:
        if self.mask not in step.batch.masks:
            return {"loss": step.zero()}
        modalities = [name for name in step.model.reads if step.has(name)]
        if not modalities:
            return {"loss": step.zero()}
        batch = hide_some(step.batch, modalities, share=self.drop, generator=step.generator)
        logits_BKHW = step.model(batch.inputs, batch.present).float()  # type: ignore[operator]
        target_BHW = step.batch.masks[self.mask].to(logits_BKHW.device)
        if int(target_BHW.max()) >= logits_BKHW.shape[1]:
            raise DataError(
                f"mask '{self.mask}' holds class {int(target_BHW.max())}, the task names {logits_BKHW.shape[1]} "
                "classes; name every class of the data in task.classes"
            )
        return {"loss": dice_ce(logits_BKHW, target_BHW, background=False) + step.zero()}


class MapSegmentation(Task):
    """One class per pixel. Held-out maps are scored from all modalities, and from each part of them.

    classes: name -> colour "#rrggbb" on maps; the number of a class in label files is its place, from 0. mask: the
    labels to learn from; test_mask: those to score against, `mask` when None. window: side of what the model sees at
    once, pixels: larger images are cut into windows, whose scores are averaged where they overlap (by `overlap`).
    drop: see `MapLoss`. width, cells, depth: see `ConvNeXtDecoder`.
    """

    watch = "mean_iou"
    several = True

    def __init__(
        self,
        *,
        classes: dict[str, str],
        mask: str,
        test_mask: str | None = None,
        window: int = 48,
        overlap: float = 0.0,
        drop: float = 0.5,
        width: int = 64,
        cells: int = 3,
        depth: int = 2,
    ) -> None:
        if len(classes) < 2:
            raise ConfigError(f"task.classes: has {len(classes)}; name two at least, with a colour for each")
        for name, colour in classes.items():
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(colour)):
                raise ConfigError(f"task.classes.{name}: '{colour}' is no colour; give one such as '#419bdf'")
        if not (0 <= overlap < 1 and 0 <= drop <= 1 and window >= 1):
            raise ConfigError(f"task: window {window}, overlap {overlap} in [0, 1), drop {drop} in [0, 1]")
        self.classes, self.colours = tuple(classes), dict(classes)
        self.mask, self.test_mask = mask, test_mask or mask
        self.window, self.overlap, self.drop = window, overlap, drop
        self.width, self.cells, self.depth = width, cells, depth
        self.masks = tuple(dict.fromkeys((self.mask, self.test_mask)))

    def head(self, encoder: Encoder, modality: str | Sequence[str], data: DataModule) -> nn.Module:
        train = data.layouts["train"]
        there = {name for index in data.indices["train"] for name in train.record(index).masks}
        if self.mask not in there:
            raise ConfigError(f"task.mask: no training record has masks '{self.mask}'{nearest(self.mask, there)}")
        return self.head_from(encoder, self.facts(modality, data))

    def facts(self, modality: str | Sequence[str], data: DataModule) -> dict[str, Any]:
        return {"modalities": list(named(modality))}

    def head_from(self, encoder: Encoder, facts: Mapping[str, Any]) -> nn.Module:
        if not encoder.pyramid_channels:
            raise ConfigError(f"{type(encoder).__name__} gives no feature maps, which segmentation needs")
        decoder = ConvNeXtDecoder(
            classes=len(self.classes), channels=encoder.pyramid_channels[-1], width=self.width, cells=self.cells,
            depth=self.depth,
        )  # fmt: skip
        return MapSegmenter(encoder=encoder, decoder=decoder, modalities=[str(name) for name in facts["modalities"]])

    def terms(self) -> list[Term]:
        return [MapLoss(self.mask, drop=self.drop)]

    @torch.no_grad()
    def validate(self, model: Downstream, data: DataModule, compute: Compute) -> dict[str, float]:
        total_KK = np.zeros((len(self.classes),) * 2, np.int64)
        for batch in data.eval_loader("val"):
            chosen = only(batch, model.modalities)
            if chosen.inputs and self.test_mask in batch.masks:
                predicted = self.scores(model, chosen, compute).argmax(1).cpu().numpy()
                total_KK += confusion(predicted, batch.masks[self.test_mask].numpy(), len(self.classes))
        return {"mean_iou": float(np.nanmean(iou(total_KK.astype(float))))} if total_KK.any() else {}

    @torch.no_grad()
    def scores(self, model: Downstream, batch: Batch, compute: Compute) -> Tensor:
        """(B, K, H, W) probabilities, averaged over the windows that see a pixel."""
        size = next(batch.inputs[name].x.shape[-2:] for name in model.modalities if name in batch.inputs)
        total, seen = None, torch.zeros(size, device=compute.device)
        for rows, columns in windows(size, self.window, self.overlap):
            inputs = {name: part(inp, size, rows, columns).to(compute.device) for name, inp in batch.inputs.items()}
            with compute.autocast():
                probability_BKhw = model(inputs, batch.present).float().softmax(1)
            if total is None:
                total = probability_BKhw.new_zeros(*probability_BKhw.shape[:2], *size)
            total[..., rows, columns] += probability_BKhw
            seen[rows, columns] += 1
        assert total is not None  # there is one window at least
        return total / seen

    @torch.no_grad()
    def evaluate(
        self, model: Downstream, data: DataModule, compute: Compute, *, folder: Path, n_bootstrap: int, seed: int
    ) -> Outcome:
        outcome, kept = self.measure(model, data, compute, n_bootstrap=n_bootstrap, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / COUNTS, **kept)  # for paired comparisons of runs
        outcome.files.append(folder / COUNTS)
        return outcome

    @torch.no_grad()
    def measure(
        self, model: Downstream, data: DataModule, compute: Compute, *, n_bootstrap: int, seed: int
    ) -> tuple[Outcome, dict[str, Any]]:
        """Figures on the test split, and the confusion counts behind them; nothing is written."""
        model.eval()
        outcome = Outcome(protocol=map_protocol())
        kept: dict[str, Any] = {"all": np.array("+".join(model.modalities))}
        for chosen in parts_of(model.modalities):
            counts, groups = [], []
            for batch in data.eval_loader("test"):
                visible = only(batch, chosen)
                if not visible.inputs or self.test_mask not in batch.masks:
                    continue
                some_B = torch.stack([visible.present[name] for name in visible.inputs]).any(0)
                score_BKHW = self.scores(model, visible, compute).cpu()
                target_BHW = batch.masks[self.test_mask]
                for row in some_B.nonzero()[:, 0].tolist():
                    predicted_HW, target_HW = score_BKHW[row].argmax(0).numpy(), target_BHW[row].numpy()
                    counts.append(confusion(predicted_HW, target_HW, len(self.classes)))
                    groups.append(int(batch.keys["group"][row]))
                    if chosen == model.modalities and len(outcome.pictures) < SHOWN:
                        outcome.pictures.append(self._picture(data, batch, row, score_BKHW[row], target_HW))
            if not counts:
                continue
            seen = "+".join(chosen)
            kept |= {f"counts {seen}": np.stack(counts), f"groups {seen}": np.array(groups)}
            scored = map_scores(
                np.stack(counts), tuple(self.classes), groups_N=groups, n_bootstrap=n_bootstrap, seed=seed
            )
            if chosen == model.modalities:
                outcome.numbers |= {f"test/{k}": v for k, v in scored.flat().items()}
            outcome.numbers |= {f"test/{seen}/{k}": v for k, v in scored.flat().items()}
            outcome.tables[f"from {seen}: {len(counts)} held-out maps"] = (
                ["class", "IoU", "share of pixels"],
                [
                    ["mean", str(scored.mean_iou), ""],
                    *([name, f"{value:.3f}", f"{share:.1%}"] for (name, value), share in zip(
                        scored.iou.items(), scored.confusion.sum(1) / scored.confusion.sum(), strict=True
                    )),
                ],
            )  # fmt: skip
        return outcome, kept

    def _picture(
        self, data: DataModule, batch: Batch, row: int, score_KHW: Tensor, target_HW: NDArray[np.integer]
    ) -> tuple[str, dict[str, NDArray[np.uint8]], dict[str, NDArray[np.uint8]]]:
        """Inputs, label, prediction and confidence of a held-out case as pictures."""
        inputs = {}
        for name, inp in batch.inputs.items():
            if bool(batch.present[name][row]):
                place = int(batch.present[name][:row].sum())
                inputs[name] = data.processors[name].shown(inp.x[place].numpy())
        confidence_HW = score_KHW.max(0).values.numpy()
        maps = {
            "label": self.coloured(target_HW),
            "prediction": self.coloured(score_KHW.argmax(0).numpy()),
            "confidence": np.round(confidence_HW * 255).astype(np.uint8),
        }
        return batch.ids[row], inputs, maps

    def coloured(self, labels_HW: NDArray[np.integer]) -> NDArray[np.uint8]:
        """(H, W, 3): the colour of each class; unlabelled pixels are white."""
        palette = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in self.colours.values()]
        return np.array([*palette, [255, 255, 255]], np.uint8)[labels_HW]


def only(batch: Batch, modalities: Collection[str]) -> Batch:
    """The batch as if it held no other modality."""
    inputs = {name: batch.inputs[name] for name in modalities if name in batch.inputs}
    return Batch(batch.ids, inputs, {name: batch.present[name] for name in modalities})


def parts_of(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty part of the modalities, all of them first."""
    sizes = range(len(modalities), 0, -1)
    return [chosen for size in sizes for chosen in itertools.combinations(modalities, size)]


def windows(size: Sequence[int], side: int, overlap: float) -> Iterator[tuple[slice, slice]]:
    """Windows that cover an image; the last of a row or column is moved back into it."""
    step = max(1, round(side * (1 - overlap)))
    firsts = [[*range(0, max(n - side, 0), step), max(n - side, 0)] for n in size]
    for top, left in itertools.product(*firsts):
        yield slice(top, min(top + side, size[0])), slice(left, min(left + side, size[1]))


def part(inp: ModalityInput, size: Sequence[int], rows: slice, columns: slice) -> ModalityInput:
    """A window of an input, given in pixels of an image of `size` of the same ground.

    Raises ConfigError when it does not begin and end between this input's pixels.
    """
    shape = inp.x.shape[-2:]

    def cut(tensor: Tensor) -> Tensor:
        if tensor.ndim < 3 or tensor.shape[-2:] != shape:
            return tensor  # a fact about the whole, such as the day
        index = []
        for own, whole, wanted in zip(shape, size, (rows, columns), strict=True):
            if wanted.start * own % whole or wanted.stop * own % whole:
                raise ConfigError(f"task.window: {wanted} of {whole} pixels splits one of the {own} of another input")
            index.append(slice(wanted.start * own // whole, wanted.stop * own // whole))
        return tensor[..., index[0], index[1]]

    return inp.apply(cut)
