"""Known warps: a homography after a smooth displacement, with its inverse, for points and for pictures.

Shape legend: V = warps of a batch, P = points, G = knots along an axis, H, W = rows and columns, R, S = those of the
warped picture. Points are (x, y) in pixels, whole numbers at pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError

KNOTS = 7  # of the displacement field along an axis, over the picture and half of it beyond each side
STEPS = 12  # of the fixed-point iteration that inverts the displacement; each at least halves the error


@dataclass(frozen=True, slots=True)
class WarpRange:
    """How strong warps may be. shift: pixels, in x and in y. rotation: degrees. scale, shear: shares, 0.1 = 10%.
    perspective: change of scale across the picture, a share. elastic: largest displacement, pixels."""

    shift: float = 16.0
    rotation: float = 5.0
    scale: float = 0.05
    shear: float = 0.02
    perspective: float = 0.0
    elastic: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) >= 0:
                raise ConfigError(f"warp.{name}: is {getattr(self, name)}; give a number of at least 0")
        for name, most in (("scale", 0.5), ("shear", 0.5), ("perspective", 0.5), ("rotation", 180.0)):
            if getattr(self, name) > most:
                raise ConfigError(f"warp.{name}: is {getattr(self, name)}; give at most {most:g}")


@dataclass(frozen=True, slots=True)
class Warps:
    """p -> matrix (p + displacement(p)), per row of a batch of pictures of `side` pixels.

    matrix_V33: homographies, float32. knots_V2GG: displacement in pixels at knots, or None.
    """

    matrix_V33: Tensor  # noqa: N815
    knots_V2GG: Tensor | None  # noqa: N815
    side: int

    @classmethod
    def draw(cls, count: int, side: int, most: WarpRange, generator: torch.Generator) -> Warps:
        """Warps drawn uniformly from the range; on the CPU, from `generator` alone."""
        u_V8 = torch.rand(count, 8, generator=generator) * 2 - 1
        angle, stretch_, shear = (
            u_V8[:, 2] * torch.pi * most.rotation / 180,
            torch.exp(u_V8[:, 3] * torch.log1p(torch.tensor(most.scale))),
            u_V8[:, 4] * most.shear,
        )
        aspect = torch.exp(u_V8[:, 5] * most.shear)
        turn_V22 = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        skew_V22 = torch.stack([aspect, shear, torch.zeros_like(shear), 1 / aspect], 1).view(-1, 2, 2)
        centred_V33 = torch.eye(3).repeat(count, 1, 1)
        centred_V33[:, :2, :2] = stretch_[:, None, None] * (turn_V22 @ skew_V22)
        centred_V33[:, :2, 2] = u_V8[:, :2] * most.shift
        centred_V33[:, 2, :2] = u_V8[:, 6:] * most.perspective / side
        to_centre_33 = torch.eye(3)
        to_centre_33[:2, 2] = -(side - 1) / 2
        matrix_V33 = torch.linalg.inv(to_centre_33) @ centred_V33 @ to_centre_33
        knots = None
        if most.elastic > 0:
            # neighbouring knots are side / 3 apart: below a sixth of the side the field folds nowhere
            if most.elastic > side / 6:
                raise ConfigError(f"warp.elastic: is {most.elastic}; give at most a sixth of the side, {side // 6}")
            knots = (torch.rand(count, 2, KNOTS, KNOTS, generator=generator) * 2 - 1) * most.elastic / 2
        return cls(matrix_V33, knots, side)

    def to(self, device: torch.device | str) -> Warps:
        knots = None if self.knots_V2GG is None else self.knots_V2GG.to(device)
        return Warps(self.matrix_V33.to(device), knots, self.side)

    def forward(self, points_VP2: Tensor) -> Tensor:
        """Where points of the first picture lie in the warped one: (V, P, 2)."""
        return project(self.matrix_V33, points_VP2 + self._displacement(points_VP2))

    def inverse(self, points_VP2: Tensor) -> Tensor:
        """Where points of the warped picture lie in the first one: (V, P, 2)."""
        straight_VP2 = project(torch.linalg.inv(self.matrix_V33), points_VP2)
        if self.knots_V2GG is None:
            return straight_VP2
        found_VP2 = straight_VP2
        for _ in range(STEPS):
            found_VP2 = straight_VP2 - self._displacement(found_VP2)
        return found_VP2

    def sample(self, x_VCHW: Tensor, size: tuple[int, int], origin: tuple[int, int] = (0, 0)) -> Tensor:
        """The warped picture (V, C, R, S), bilinear; 0 beyond the given one.

        origin: (row, column) of x at which the first picture of the warp begins, so that a larger tile fills what
        the warp brings in from outside.
        """
        rows, columns = x_VCHW.shape[-2:]
        there_VP2 = self.inverse(grid(size, x_VCHW.device).expand(len(x_VCHW), -1, -1))
        place_VP2 = there_VP2 + there_VP2.new_tensor([origin[1], origin[0]])
        unit_VP2 = 2 * place_VP2 / place_VP2.new_tensor([max(columns - 1, 1), max(rows - 1, 1)]) - 1
        return F.grid_sample(x_VCHW.float(), unit_VP2.view(len(x_VCHW), *size, 2), align_corners=True)

    def _displacement(self, points_VP2: Tensor) -> Tensor:
        if self.knots_V2GG is None:
            return torch.zeros_like(points_VP2)
        unit_VP2 = (2 * points_VP2 / (self.side - 1) - 1) / 2  # knots reach half a side beyond
        found_V2P1 = F.grid_sample(
            self.knots_V2GG, unit_VP2[:, :, None], mode="bilinear", padding_mode="border", align_corners=True
        )
        return found_V2P1[..., 0].transpose(1, 2)


def grid(size: tuple[int, int], device: torch.device | str = "cpu", step: float = 1.0) -> Tensor:
    """(1, rows * columns, 2) places (x, y) of a grid, row by row, `step` pixels apart."""
    y, x = torch.meshgrid(*(torch.arange(n, device=device) * step for n in size), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(1, -1, 2).float()


def project(matrix_V33: Tensor, points_VP2: Tensor) -> Tensor:
    """Points after homographies; (V, P, 2)."""
    out_VP3 = points_VP2 @ matrix_V33[:, :, :2].transpose(1, 2) + matrix_V33[:, None, :, 2]
    return out_VP3[..., :2] / out_VP3[..., 2:]
