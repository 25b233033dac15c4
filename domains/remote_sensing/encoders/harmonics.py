"""Places on the sphere and the plane as features: real spherical harmonics, random Fourier features.

Shape legend: V = rows, L = degrees of harmonics (0 to L - 1), R = frequencies.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.errors import ConfigError

# Equal Earth projection (Savric et al. 2018)
_A = (1.340264, -0.081106, 0.000893, 0.003796)
SCALE = 66.50336 / 180  # GeoCLIP: makes the widest coordinate about one


class SphericalHarmonics(nn.Module):
    """Longitude and latitude in degrees -> (V, L * L) orthonormal real harmonics, order l = 0.., m = -l..l.

    sin(|m| phi) for m < 0, cos(m phi) for m > 0, without the Condon-Shortley sign; theta = latitude + 90 degrees,
    phi = longitude + 180 degrees (SatCLIP, Klemmer et al. 2025). In float64. With `released` the columns m = 0 are pi
    times larger, as in SatCLIP's table, which its weights were trained with.
    """

    def __init__(self, *, degrees: int = 10, released: bool = False) -> None:
        super().__init__()
        if degrees < 1:
            raise ConfigError(f"SphericalHarmonics: degrees is {degrees}; give at least 1")
        self.degrees, self.released, self.features = degrees, released, degrees**2

    def forward(self, lonlat_V2: Tensor) -> Tensor:
        phi_V, theta_V = (lonlat_V2.double() + lonlat_V2.new_tensor([180.0, 90.0]).double()).deg2rad().unbind(-1)
        legendre = self._legendre(theta_V)
        columns = []
        for degree in range(self.degrees):
            for order in range(-degree, degree + 1):
                y_V = legendre[degree, abs(order)]
                if order:
                    turn = (abs(order) * phi_V).sin() if order < 0 else (order * phi_V).cos()
                    y_V = math.sqrt(2) * y_V * turn
                elif self.released:
                    y_V = math.pi * y_V
                columns.append(y_V)
        return torch.stack(columns, dim=-1)

    def _legendre(self, theta_V: Tensor) -> dict[tuple[int, int], Tensor]:
        """(l, m) -> associated Legendre function of cos theta, normalised over the sphere, without the sign (-1)^m.

        Normalised recurrences (Press et al. 2007, 6.7): factorials would overflow at degree 40.
        """
        x_V, s_V = theta_V.cos(), theta_V.sin()
        p = {(0, 0): torch.full_like(x_V, math.sqrt(1 / (4 * math.pi)))}
        for m in range(self.degrees):
            if m:
                p[m, m] = math.sqrt((2 * m + 1) / (2 * m)) * s_V * p[m - 1, m - 1]
            if m + 1 < self.degrees:
                p[m + 1, m] = math.sqrt(2 * m + 3) * x_V * p[m, m]
            for degree in range(m + 2, self.degrees):
                a = math.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
                b = math.sqrt(((degree - 1) ** 2 - m**2) / (4 * (degree - 1) ** 2 - 1))
                p[degree, m] = a * (x_V * p[degree - 1, m] - b * p[degree - 2, m])
        return p


def equal_earth(lonlat_V2: Tensor) -> Tensor:
    """(V, 2) float64 x, y of the Equal Earth projection of longitude and latitude in degrees, on a unit sphere."""
    longitude_V, latitude_V = lonlat_V2.double().deg2rad().unbind(-1)
    t_V = (math.sqrt(3) / 2 * latitude_V.sin()).asin()
    a1, a2, a3, a4 = _A
    slope_V = 9 * a4 * t_V**8 + 7 * a3 * t_V**6 + 3 * a2 * t_V**2 + a1
    x_V = 2 * math.sqrt(3) * longitude_V * t_V.cos() / (3 * slope_V)
    return torch.stack([x_V, a4 * t_V**9 + a3 * t_V**7 + a2 * t_V**3 + a1 * t_V], dim=-1)


class RandomFourier(nn.Module):
    """(V, 2) -> (V, 2 R): [cos, sin](2 pi B v), B ~ Normal(0, sigma^2), not trained (Tancik et al. 2020; GeoCLIP)."""

    frequencies: Tensor

    def __init__(self, *, sigma: float, frequencies: int = 256) -> None:
        super().__init__()
        if sigma <= 0 or frequencies < 1:
            raise ConfigError(f"RandomFourier: sigma {sigma}, frequencies {frequencies}; give positive numbers")
        self.register_buffer("frequencies", torch.randn(frequencies, 2) * sigma)

    def forward(self, x_V2: Tensor) -> Tensor:
        angle_VR = 2 * math.pi * x_V2 @ self.frequencies.to(x_V2).T
        return torch.cat([angle_VR.cos(), angle_VR.sin()], dim=-1)
