"""Products of numbers with several parts, coordinate by coordinate: complex, quaternion, dihedron.

A vector of d such numbers is stored as its parts one after another, (..., parts * d): all first parts, then all second
ones. Shape legend: `...` = any leading dimensions that broadcast, d = numbers, parts = 2 or 4.
"""

from __future__ import annotations

import torch
from torch import Tensor


def parts_of(x: Tensor, parts: int) -> tuple[Tensor, ...]:
    """(..., parts * d) as `parts` views (..., d)."""
    return x.chunk(parts, dim=-1)


def complex_product(x: Tensor, y: Tensor) -> Tensor:
    """x y for complex numbers, (..., 2 d)."""
    (a, b), (c, d) = parts_of(x, 2), parts_of(y, 2)
    return torch.cat([a * c - b * d, a * d + b * c], dim=-1)


def complex_conjugate(x: Tensor) -> Tensor:
    a, b = parts_of(x, 2)
    return torch.cat([a, -b], dim=-1)


def quaternion_product(x: Tensor, y: Tensor) -> Tensor:
    """Hamilton's product x y (i^2 = j^2 = k^2 = ijk = -1), (..., 4 d). |x y| = |x| |y|."""
    (s, x1, y1, z1), (t, x2, y2, z2) = parts_of(x, 4), parts_of(y, 4)
    return torch.cat(
        [
            s * t - x1 * x2 - y1 * y2 - z1 * z2,
            s * x2 + x1 * t + y1 * z2 - z1 * y2,
            s * y2 + y1 * t + z1 * x2 - x1 * z2,
            s * z2 + z1 * t + x1 * y2 - y1 * x2,
        ],
        dim=-1,
    )


def quaternion_conjugate(x: Tensor) -> Tensor:
    s, i, j, k = parts_of(x, 4)
    return torch.cat([s, -i, -j, -k], dim=-1)


def dihedron_product(x: Tensor, y: Tensor) -> Tensor:
    """Product with i^2 = -1, j^2 = k^2 = 1, ij = k = -ji, (..., 4 d).

    Isomorphic to real 2 x 2 matrices: (s, x, y, z) -> [[s + y, z - x], [z + x, s - y]], whose determinant
    s^2 + x^2 - y^2 - z^2 is multiplicative.
    """
    (s, x1, y1, z1), (t, x2, y2, z2) = parts_of(x, 4), parts_of(y, 4)
    return torch.cat(
        [
            s * t - x1 * x2 + y1 * y2 + z1 * z2,
            s * x2 + x1 * t - y1 * z2 + z1 * y2,
            s * y2 - x1 * z2 + y1 * t + z1 * x2,
            s * z2 + x1 * y2 - y1 * x2 + z1 * t,
        ],
        dim=-1,
    )


def unit(x: Tensor, parts: int) -> Tensor:
    """Every number divided by its Euclidean modulus over the parts; a zero stays zero, with a finite gradient."""
    stacked = torch.stack(parts_of(x, parts), dim=-1)
    length = stacked.square().sum(dim=-1).clamp_min(1e-24).sqrt()
    return x / torch.cat([length] * parts, dim=-1)
