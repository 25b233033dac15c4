"""Where a picture was taken, as a vector: SatCLIP's and GeoCLIP's location encoders.

Shape legend: V = rows, D = width.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from core.encoders.base import BlockHook, Encoder
from core.errors import DataError
from core.types import Encoded, ModalityInput
from domains.remote_sensing.encoders.harmonics import SCALE, RandomFourier, SphericalHarmonics, equal_earth


class LocationEncoder(Encoder):
    """Longitude and latitude (V, 2) in degrees -> (V, D). Raises DataError for places that are not on the Earth."""

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        x_V2 = inp.x
        if x_V2.ndim != 2 or x_V2.shape[1] != 2:
            raise DataError(f"{type(self).__name__} got shape {tuple(x_V2.shape)}; expected (V, 2): lon, lat")
        if not bool((x_V2.abs() <= x_V2.new_tensor([180.0, 90.0])).all()):  # nan too
            raise DataError(
                f"{type(self).__name__} got a place that is not on the Earth (lon within 180, lat within 90 degrees); "
                "is the order latitude, longitude, or a file without CRS?"
            )
        return Encoded(pooled=self.vector(x_V2))

    @abstractmethod
    def vector(self, lonlat_V2: Tensor) -> Tensor:
        """(V, 2) longitude and latitude, degrees -> (V, D)."""


class HarmonicLocation(LocationEncoder):
    """Spherical harmonics through a SIREN (Sitzmann et al. 2020), as in SatCLIP (Klemmer et al. 2025).

    degrees: of the harmonics, 10 for smooth maps, 40 for fine ones. hidden: width of the two sine layers, the first
    with frequency `first`, the others with 1; dropout before each of them.
    """

    def __init__(
        self,
        *,
        width: int = 256,
        degrees: int = 10,
        hidden: int = 512,
        first: float = 30.0,
        dropout: float = 0.5,
        released: bool = False,
    ) -> None:
        super().__init__()
        self.width, self.first = width, first
        self.harmonics = SphericalHarmonics(degrees=degrees, released=released)
        sizes = [self.harmonics.features, hidden, hidden, width]
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(dropout)
        for i, layer in enumerate(layers):  # Sitzmann et al. 2020, section 3.2
            bound = 1 / layer.in_features if i == 0 else math.sqrt(6 / layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.uniform_(layer.bias, -bound, bound)

    def vector(self, lonlat_V2: Tensor) -> Tensor:
        x_VD = self.harmonics(lonlat_V2).to(self.layers[0].weight)
        for i, layer in enumerate(self.layers[:-1]):
            x_VD = (layer(self.dropout(x_VD)) * (self.first if i == 0 else 1.0)).sin()
        return self.layers[-1](x_VD)


class FourierLocation(LocationEncoder):
    """Equal Earth coordinates through random Fourier features of several scales, an MLP each, summed (GeoCLIP,
    Vivanco Cepeda et al. 2023)."""

    def __init__(
        self,
        *,
        width: int = 512,
        sigmas: tuple[float, ...] = (1.0, 16.0, 256.0),
        frequencies: int = 256,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        self.width = width
        self.scales = nn.ModuleList(RandomFourier(sigma=s, frequencies=frequencies) for s in sigmas)
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(2 * frequencies, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
                nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, width),
            )
            for _ in sigmas
        )  # fmt: skip

    def vector(self, lonlat_V2: Tensor) -> Tensor:
        at_V2 = equal_earth(lonlat_V2) * SCALE
        parts = [network(scale(at_V2).float()) for scale, network in zip(self.scales, self.networks, strict=True)]
        return torch.stack(parts).sum(0)
