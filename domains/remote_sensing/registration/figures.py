"""How well a matcher registers held-out pairs with known warps, beside two baselines in the same run.

Shape legend: B = pairs of a batch, S = side of the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from core.data.datamodule import DataModule
from core.errors import ConfigError, DataError
from core.evaluation.registration import corner_error, registration_scores, share_below
from core.models.dual_encoder import DualEncoder
from core.training.figures import Figure
from core.training.precision import Compute
from core.types import Batch
from domains.remote_sensing.processors.raster import RasterProcessor
from domains.remote_sensing.registration.decode import match
from domains.remote_sensing.registration.fit import Model, NoConsensusError, fit_transform
from domains.remote_sensing.registration.pairs import PairMaker, Pairs
from domains.remote_sensing.registration.phase import phase_shift
from domains.remote_sensing.registration.term import matcher_of
from domains.remote_sensing.registration.warps import WarpRange

METHODS = ("matcher", "phase_correlation", "identity")
WARPS_SEED = 20_250  # of the warps of every evaluation, whatever the run's seed: all runs are judged on the same pairs


class RegistrationError(Figure):
    """Corner error of registration on pairs of two modalities with known warps: of the matcher with a robust fit, of
    phase correlation of gradients, and of the identity, which is how far the pairs are apart.

    size, warp: of the pairs (`PairMaker`; no elastic part, which no single transform undoes). model, threshold: of the
    fit; coarse: least coarse probability of a match, border: cells left out at the edge. limit: pairs of the validation
    split, and of others, at most. Names: "registration/<method>/median_px", "auc_5px" ..., in pixels, and "median_m",
    in metres, where the processors tell the size of a pixel; "registration/pck_3px": share of matches within 3 pixels.
    "registration_auc_5px" is what `evaluation.watch` may name.
    """

    def __init__(
        self,
        *,
        first: str,
        second: str,
        size: int = 128,
        warp: dict[str, float] | None = None,
        model: Model = "affine",
        threshold: float = 3.0,
        coarse: float = 0.2,
        border: int = 1,
        limit: dict[str, int] | None = None,
    ) -> None:
        self.first, self.second, self.model, self.threshold = first, second, model, threshold
        self.coarse, self.border, self.limit = coarse, border, dict(limit or {})
        most = WarpRange(**(warp or {}))
        if most.elastic:
            raise ConfigError(f"warp.elastic: is {most.elastic}; errors at corners are measured of plain warps, give 0")
        kinds = ("invert",)  # for one modality with itself; two sensors need no pseudo modality
        self.make = PairMaker(size=size, pseudo=0.0, kinds=kinds, warp=most, mix_bands=False)

    def check(self, model: DualEncoder) -> None:
        matcher_of(model.encoders, model.reads, self.first, self.second)

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        errors: dict[str, list[float]] = {name: [] for name in METHODS}
        points: list[np.ndarray] = []
        generator = torch.Generator().manual_seed(WARPS_SEED)
        for batch in data.eval_loader(split):
            if len(errors["matcher"]) >= self.limit.get(split, math.inf):
                break
            self._batch(model, batch, compute, generator, errors, points)
        if not errors["matcher"]:
            return {}
        side = self.make.size
        found: dict[str, float] = {}
        metres = self._metres(data, split)
        for name in METHODS:
            scores = registration_scores(errors[name], failed=math.hypot(side, side)).flat()
            found |= {f"registration/{name}/{k}": v for k, v in scores.items()}
            if metres is not None:
                found[f"registration/{name}/median_m"] = scores["median_px"] * metres
        every = np.concatenate(points)
        found |= {f"registration/pck_{t}px": share_below(every, t) for t in (1, 3, 5) if every.size}
        found["registration/matches"] = every.size / len(errors["matcher"])
        return found | {"registration_auc_5px": found["registration/matcher/auc_5px"]}

    def _batch(
        self,
        model: DualEncoder,
        batch: Batch,
        compute: Compute,
        generator: torch.Generator,
        errors: Mapping[str, list[float]],
        points: list[np.ndarray],
    ) -> None:
        if self.first not in batch.inputs or self.second not in batch.inputs:
            return
        rows_first, rows_second, _ = batch.paired_rows(self.first, self.second)
        if len(rows_first) == 0:
            return
        first, second = batch.inputs[self.first].rows(rows_first), batch.inputs[self.second].rows(rows_second)
        pairs = self.make(first.to(compute.device), second.to(compute.device), generator,
                          alone=self.first == self.second)  # fmt: skip
        matcher = matcher_of(model.encoders, model.reads, self.first, self.second)
        with compute.autocast():
            found = match(
                matcher, pairs.first_B1HW, pairs.second_B1HW, pairs.first_BHW, pairs.second_BHW,
                threshold=self.coarse, border=self.border,
            )  # fmt: skip
        shape = (self.make.size, self.make.size)
        for row in range(len(rows_first)):
            truth_33 = pairs.warps.matrix_V33[row].double().cpu().numpy()
            here = found.of(row)
            source, target = here.first_M2.cpu().numpy(), here.second_M2.cpu().numpy()
            if len(source):
                there = pairs.warps.forward(here.first_M2[None].expand(len(rows_first), -1, -1))[row].cpu().numpy()
                points.append(np.linalg.norm(there - target, axis=1))
            else:
                points.append(np.zeros(0))
            try:
                fit = fit_transform(source, target, model=self.model, threshold=self.threshold, reach=self.make.size)
                errors["matcher"].append(corner_error(fit.matrix_33, truth_33, shape))
            except NoConsensusError:
                errors["matcher"].append(math.inf)
            errors["identity"].append(corner_error(np.eye(3), truth_33, shape))
            errors["phase_correlation"].append(corner_error(_shifted(pairs, row), truth_33, shape))

    def _metres(self, data: DataModule, split: str) -> float | None:
        """Side of a pixel of the first record in metres; None where it is unknown."""
        from domains.remote_sensing.raster import pixel_metres

        processor = data.processors[self.first]
        source = data.layouts[split].record(data.indices[split][0]).sources.get(self.first)
        if not isinstance(processor, RasterProcessor) or source is None:
            return None
        try:
            grid = processor.grid(source)
            height, width = pixel_metres(grid.crs, grid.read[0])
        except DataError:
            return None
        return math.sqrt(height * width)


def _shifted(pairs: Pairs, row: int) -> np.ndarray:
    """What phase correlation makes of a pair; far away where it finds nothing."""
    arrays = (pairs.first_B1HW[row, 0], pairs.second_B1HW[row, 0], pairs.first_BHW[row], pairs.second_BHW[row])
    offset = phase_shift(*(array.cpu().numpy() for array in arrays))
    out = np.eye(3)
    out[:2, 2] = np.where(np.isfinite(offset), offset, np.inf)
    return out
