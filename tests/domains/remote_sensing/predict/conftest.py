"""Small scenes and models for the tests of whole-scene inference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from domains.remote_sensing.io import write_raster
from domains.remote_sensing.predict import MapInput
from domains.remote_sensing.processors import OpticalProcessor, RadarProcessor
from domains.remote_sensing.raster import Raster
from domains.remote_sensing.sensors import preset

UTM = "EPSG:32633"
TRANSFORM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_400_000.0)
OPTICAL = preset("sentinel2_10m").as_values()
RADAR = preset("sentinel1_db").as_values()
CLASSES = ("water", "trees", "crops")


class Scenes:
    """Rasters of random but smooth enough values, in memory or as files, and what reads them."""

    UTM, TRANSFORM, CLASSES = UTM, TRANSFORM, CLASSES

    @staticmethod
    def optical(rows, columns, *, seed=0, transform=TRANSFORM, crs=UTM):
        rng = np.random.default_rng(seed)
        values = np.round(rng.uniform(0.02, 0.6, (4, rows, columns)), 4).astype(np.float32)
        return Raster(values, OPTICAL, transform, crs, "2021-06-30")

    @staticmethod
    def radar(rows, columns, *, seed=1, transform=TRANSFORM, crs=UTM):
        rng = np.random.default_rng(seed)
        values = np.round(rng.uniform(-25, -5, (2, rows, columns)), 2).astype(np.float32)
        return Raster(values, RADAR, transform, crs, "2021-07-01")

    @staticmethod
    def optical_processor(**changes):
        settings = {"sensor": "sentinel2_10m", "normalise": "range", "high": 1.0, "size": (32, 32)}
        return OpticalProcessor(**(settings | changes))

    @staticmethod
    def radar_processor(**changes):
        return RadarProcessor(**({"normalise": "range"} | changes))

    @classmethod
    def s2(cls, raster, **changes):
        return {"s2": MapInput(raster, cls.optical_processor(**changes))}

    @classmethod
    def both(cls, optical, radar):
        return {**cls.s2(optical), "s1": MapInput(radar, cls.radar_processor())}

    @staticmethod
    def write(raster, path, nodata=0):
        """As providers store it: counts in uint16, 0 where nothing was recorded; radar as float32 with nan."""
        if raster.spec.unit == "db":
            write_raster(path, raster)
        else:
            stored = Raster(raster.values_CHW, preset("sentinel2_10m"), raster.transform, raster.crs, raster.time)
            write_raster(path, stored, dtype="uint16", nodata=nodata)
        return path


class Convolved(nn.Module):
    """Logits of all modalities' channels by one padded convolution: a border of `size // 2` is wrong."""

    def __init__(self, size=1, channels=4, classes=3, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layer = nn.Conv2d(channels, classes, size, padding=size // 2)
        for parameter in self.parameters():
            parameter.data = 3 * torch.randn(parameter.shape, generator=generator)

    def forward(self, inputs):
        return self.layer(torch.cat([inputs[name].x for name in sorted(inputs)], dim=1))


@pytest.fixture(scope="session")
def scenes():
    return Scenes


@pytest.fixture(scope="session")
def convolved():
    return Convolved
