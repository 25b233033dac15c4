"""A scene of any height to a georeferenced map, strip by strip.

Shape legend: V = windows of a batch, C = bands, G = classes, K = pixels of a window's side, R, W = rows and columns.

A strip is what no later window touches: the rows from one row of windows to the next. What is held is a window's height
of the scene (input in int16, blended probabilities in float32) for its whole width, and one batch of windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from core.errors import ConfigError, DataError
from core.types import ModalityInput
from core.weights import fingerprint
from domains.remote_sensing.predict.assemble import assemble
from domains.remote_sensing.predict.blend import Blender
from domains.remote_sensing.predict.inputs import Grid, MapInput, SceneInput, open_inputs
from domains.remote_sensing.predict.progress import Progress
from domains.remote_sensing.predict.quicklook import Colours, default_colours
from domains.remote_sensing.predict.result import FACTS, MOST_CLASSES, NODATA, SceneMap
from domains.remote_sensing.predict.rows import RowBuffer
from domains.remote_sensing.predict.strips import StripStore, finished_areas
from domains.remote_sensing.predict.windows import Tiling
from domains.remote_sensing.raster import Window

# {name: input of V windows} -> logits (V, G, K, K). `x` is (V, C, K, K) as the processor normalises it, 0 where
# missing; extra: `valid` (V, K, K) bool, `lonlat` (V, 2) degrees, `day` (V,) of the year.
WindowModel = Callable[[dict[str, ModalityInput]], Tensor]
WORK = ".strips"


def map_scene(
    model: WindowModel,
    inputs: Mapping[str, MapInput],
    out: Path | str,
    *,
    classes: Sequence[str],
    window: int = 256,
    overlap: int = 64,
    margin: int = 8,
    batch_size: int = 8,
    needs: Literal["all", "any"] = "all",
    colours: Colours | None = None,
    model_id: str = "",
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> SceneMap:
    """Map a scene into the folder `out`: class_map.tif, confidence.tif, areas.csv, quicklook.png, map.json.

    inputs: co-registered rasters by the names that the model knows them by. classes: names of the logits' channels.
    window, overlap, margin: pixels, see `Tiling`. needs: a pixel is mapped where all rasters, or any, were recorded.
    colours: class -> (red, green, blue). model_id: says which weights these are, for a model that is no nn.Module.
    device: where the model is. A folder with strips of a run that was stopped is continued, to the same bytes; a
    finished one is returned as it is. Probabilities are blended, never labels.
    Raises ConfigError for settings that do not fit each other, the model or the folder's earlier run; DataError for
    rasters that cannot be read or lie on different grids, and for a model that gives values that are not finite.
    """
    names = _checked(classes, batch_size)
    tiling = Tiling(window, overlap, margin)
    opened, grid = open_inputs(inputs)
    table = default_colours(len(names)) if colours is None else dict(colours)
    absent = [name for i, name in enumerate(names) if i not in table]
    if absent:
        raise ConfigError(f"colours: has none for {', '.join(absent)}")
    identity = fingerprint(model) if isinstance(model, nn.Module) and not model_id else model_id
    settings = {
        "model": identity, "classes": names, "window": window, "overlap": overlap, "margin": margin,
        "batch_size": batch_size, "needs": needs, "shape": list(grid.shape), "transform": list(grid.transform),
        "crs": grid.crs, "device": torch.device(device).type, "threads": torch.get_num_threads(),
        **{f"inputs.{name}": source.facts() for name, source in opened.items()},
    }  # fmt: skip
    folder = Path(out)
    if (folder / FACTS).is_file() and identity:
        return SceneMap(folder, finished_areas(folder / FACTS, settings))
    if not identity and ((folder / FACTS).is_file() or (folder / WORK).is_dir()):
        raise ConfigError(
            f"model_id: {folder} holds a map already, and nothing says which weights it was made with; give model_id, "
            "choose another folder, or delete it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            strips = StripStore(folder / WORK, settings, len(tiling.starts(grid.shape[0])))
            mapper = _Mapper(model, opened, grid, tiling, len(names), batch_size, needs, torch.device(device))
            mapper.run(strips, progress)
            areas = assemble(strips, folder, grid, names, table, settings)
            strips.remove()
    except Timeout:
        raise ConfigError(f"out: another process is writing {folder}; choose another folder, or wait") from None
    return SceneMap(folder, areas)


def _checked(classes: Sequence[str], batch_size: int) -> list[str]:
    if not 1 <= len(classes) <= MOST_CLASSES or isinstance(classes, str):
        raise ConfigError(f"classes: {len(classes)} names; a map holds 1 to {MOST_CLASSES} classes")
    if batch_size < 1:
        raise ConfigError(f"batch_size: is {batch_size}; give at least 1 window")
    return list(classes)


class _Mapper:
    """Model and rasters of one map; `run` makes the strips that are missing."""

    def __init__(
        self, model: WindowModel, inputs: Mapping[str, SceneInput], grid: Grid, tiling: Tiling, classes: int,
        batch_size: int, needs: str, device: torch.device,
    ) -> None:  # fmt: skip
        self.model, self.inputs, self.grid, self.tiling = model, inputs, grid, tiling
        self.classes, self.batch_size, self.needs, self.device = classes, batch_size, needs, device
        self.tops, self.lefts = (tiling.starts(length) for length in grid.shape)
        self.weights_y, self.weights_x = (tiling.weights(length) for length in grid.shape)

    @torch.inference_mode()
    def run(self, strips: StripStore, progress: Progress | None) -> None:
        tell = progress or (lambda done, of: None)
        begin = strips.first_missing
        tell(begin, strips.count)
        if begin == strips.count:
            return
        window, height = self.tiling.window, self.grid.shape[0]
        # the rows of windows before it reach into the first missing strip: their sums are made again, in the same order
        first = next(i for i, top in enumerate(self.tops) if top + window > self.tops[begin])
        buffers = {name: RowBuffer(source, window, self.tops[first]) for name, source in self.inputs.items()}
        blender = Blender(self.classes, window, self.grid.shape[1])
        for index in range(first, strips.count):
            top = self.tops[index]
            end = self.tops[index + 1] if index + 1 < strips.count else height
            for buffer in buffers.values():
                buffer.need(top, top + window)
            self._predict(buffers, blender, index)
            known_RW = self._known([buffer.known(top, end) for buffer in buffers.values()])
            classes_RW, confidence_RW = blender.take(end - top)
            if index < begin:
                continue
            classes_RW[~known_RW] = NODATA
            percent_RW = np.rint(confidence_RW * 100).astype(np.uint8)
            percent_RW[~known_RW] = NODATA
            strips.write(index, classes_RW, percent_RW)
            tell(index + 1, strips.count)

    def _known(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.logical_and.reduce(parts) if self.needs == "all" else np.logical_or.reduce(parts)

    def _predict(self, buffers: Mapping[str, RowBuffer], blender: Blender, index: int) -> None:
        """Add a row of windows, batch by batch; windows without a pixel to be mapped are left out."""
        size, top = self.tiling.window, self.tops[index]
        batch: list[int] = []
        for position, left in enumerate(self.lefts):
            known_KK = self._known([b.window(Window(top, left, size, size))[1] for b in buffers.values()])
            if known_KK.any():
                batch.append(position)
            if batch and (len(batch) == self.batch_size or position == len(self.lefts) - 1):
                prob_VGKK = self._probabilities(buffers, [Window(top, self.lefts[p], size, size) for p in batch])
                for prob_GKK, place in zip(prob_VGKK, batch):
                    blender.add(self.lefts[place], prob_GKK, self.weights_y[index], self.weights_x[place])
                batch = []

    def _probabilities(self, buffers: Mapping[str, RowBuffer], windows: Sequence[Window]) -> np.ndarray:
        given: dict[str, ModalityInput] = {}
        for name, buffer in buffers.items():
            source = self.inputs[name]
            parts = [buffer.window(window) for window in windows]
            samples = [
                {"x": x_CKK, "lonlat": source.lonlat(window), "day": buffer.day}
                for (x_CKK, _), window in zip(parts, windows)
            ]
            inp = source.processor.collate(samples)
            # one rule for the whole scene: a window alone cannot tell a band that is absent from one that is missing
            inp.extra["valid"] = torch.from_numpy(np.stack([known_KK for _, known_KK in parts]))
            given[name] = inp.to(self.device)
        logits_VGKK = self.model(given).float()
        expected = (len(windows), self.classes, self.tiling.window, self.tiling.window)
        if tuple(logits_VGKK.shape) != expected:
            raise ConfigError(
                f"the model gives logits of shape {tuple(logits_VGKK.shape)} for {len(windows)} windows, expected "
                f"{expected} (windows, classes, rows, columns); check `classes` and `window`"
            )
        if not bool(torch.isfinite(logits_VGKK).all()):
            raise DataError(
                f"the model gives values that are not finite in the windows from row {windows[0].top}, column "
                f"{windows[0].left}; check the values of the rasters there"
            )
        prob_VGKK: Any = logits_VGKK.softmax(dim=1).cpu().numpy()
        return prob_VGKK
