"""Label maps as a modality of their own: what a model that reads or reconstructs classes is given.

Shape legend: V = samples of a batch, H, W = rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from core.data.processor import Processor, Sample
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.remote_sensing.io.labels import read_label_map
from domains.remote_sensing.processors.geometry import Variation, centred, cropped, turned


class LabelMapProcessor(Processor):
    """Class numbers 0 to classes - 1, and -1 where nobody labelled.

    classes: how many there are; a number beyond them is an error. size, crop, crop_step, flip, rotate: as in
    `RasterProcessor`, and equal to those of the rasters it goes with, so that both show the same ground.
    Takes a Path or a LabelSource. The sample holds `x` (H, W) int16; collate: x (V, H, W) int64, extra `valid` bool.
    """

    modality_kind: ClassVar[Literal["image", "volume", "text", "graph"]] = "image"
    not_in_load: ClassVar[frozenset[str]] = frozenset({"crop", "crop_step", "flip", "rotate"})

    def __init__(
        self,
        *,
        classes: int,
        size: tuple[int, int] | None = None,
        crop: int | None = None,
        crop_step: int = 1,
        flip: bool = True,
        rotate: bool = True,
    ) -> None:
        if classes < 1:
            raise ConfigError(f"classes: is {classes}; give how many classes there are")
        self.classes, self.size = classes, None if size is None else (int(size[0]), int(size[1]))
        self.crop, self.crop_step, self.flip, self.rotate = crop, crop_step, flip, rotate

    def load(self, source: Any) -> Sample:
        labels_HW = read_label_map(source).labels_HW
        if labels_HW.max() >= self.classes:
            raise DataError(
                f"{getattr(source, 'path', source)}: label {labels_HW.max()} is outside the {self.classes} classes "
                f"0 to {self.classes - 1}; map it to a class, or to unknown"
            )
        return {"x": labels_HW if self.size is None else centred(labels_HW, self.size, -1)}

    def augment_jointly(self, sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Sample:
        variation, array = Variation.draw(rng), sample["x"]
        if self.crop is not None:
            array = cropped(array, variation, self.crop, self.crop_step)
        return {**sample, "x": np.ascontiguousarray(turned(array, variation, flip=self.flip, rotate=self.rotate))}

    def collate(self, samples: Sequence[Mapping[str, np.ndarray]]) -> ModalityInput:
        shapes = {sample["x"].shape for sample in samples}
        if len(shapes) > 1:
            raise ConfigError(f"label maps of sizes {sorted(shapes)} cannot share a batch; set size, or crop")
        x_VHW = torch.from_numpy(np.stack([sample["x"] for sample in samples]).astype(np.int64))
        return ModalityInput(x_VHW, None, {"valid": x_VHW >= 0})
