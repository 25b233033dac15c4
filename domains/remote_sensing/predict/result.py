"""What mapping a scene leaves: the files, and the area of each class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CLASS_MAP, CONFIDENCE, AREAS, QUICK_LOOK, FACTS = (
    "class_map.tif", "confidence.tif", "areas.csv", "quicklook.png", "map.json"
)  # fmt: skip
NODATA = 255  # in both rasters: a raster of the scene recorded nothing here
MOST_CLASSES = 255  # 0 to 254


@dataclass(frozen=True, slots=True)
class ClassArea:
    """hectares, percent: None when the scene states no CRS; percent is of the pixels that were mapped."""

    name: str
    pixels: int
    hectares: float | None
    percent: float


@dataclass(frozen=True, slots=True)
class SceneMap:
    """The folder of a finished map, and its areas in the order of the classes."""

    folder: Path
    areas: tuple[ClassArea, ...]

    @property
    def class_map(self) -> Path:
        """Cloud-Optimised GeoTIFF, uint8: class numbers, NODATA where nothing was recorded; with colours."""
        return self.folder / CLASS_MAP

    @property
    def confidence(self) -> Path:
        """Cloud-Optimised GeoTIFF, uint8: probability of the class in percent, NODATA where nothing was recorded."""
        return self.folder / CONFIDENCE

    @property
    def quick_look(self) -> Path:
        """PNG of the map with its legend, for the eye: at most 1024 pixels a side."""
        return self.folder / QUICK_LOOK
