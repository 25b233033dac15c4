"""The primary components of a batch, for a short text that says what matters most (Long-CLIP, Zhang et al. 2024).

Shape legend: V = rows in which the modality is present, E = width of the vectors, K = components.
Long-CLIP compares the short caption with PCA_32(image) and the long one with the image: rows of both are unit vectors
before the PCA and are not normalised after it, so take `Unit` views and the similarity `Dot`:
    rows: PrimaryComponents(view=Unit(view=Embedding(modality=image))), keys: Unit(view=Embedding(modality=caption)).
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from core.errors import ConfigError
from core.objectives.base import Step
from core.objectives.contrast.matrix import computed_in
from core.objectives.contrast.similarity import unit
from core.objectives.views import View, Viewed


class Unit(View):
    """Another view's vectors scaled to length 1, float32 or finer; a zero vector stays zero."""

    def __init__(self, *, view: View) -> None:
        super().__init__()
        self.modality, self.view = view.modality, view

    def forward(self, step: Step) -> Viewed:
        viewed = self.view(step)
        return Viewed(unit(viewed.x), viewed.mask)


class PrimaryComponents(View):
    """Another view's vectors (V, E) on the `components` directions in which this process's batch varies most.

    mean + (x - mean) P with P = U_K U_K^T of the centred batch, computed in float32 or finer. P is a constant for the
    gradient: directions of equal spread have no defined derivative.
    A batch of n <= components + 1 rows lies in its own primary components: the view is then the identity and the term
    on it measures nothing new. So that this does not pass in silence, it warns once ("components/inactive") and counts
    such batches in `inactive` (and all of them in `seen`).
    Where no decomposition is found (not finite, no convergence) it gives the vectors as they are, detached.
    """

    inactive: Tensor
    seen: Tensor

    def __init__(self, *, view: View, components: int = 32) -> None:
        super().__init__()
        if components < 1:
            raise ConfigError(f"PrimaryComponents: components is {components}; give at least 1, for instance 32")
        self.modality, self.view, self.components = view.modality, view, components
        self.register_buffer("inactive", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, step: Step) -> Viewed:
        viewed = self.view(step)
        x_VE = computed_in(viewed.x)
        if x_VE.ndim != 2:
            raise ConfigError(f"PrimaryComponents: '{self.modality}' gives {tuple(x_VE.shape)}; needs vectors (V, E)")
        self.seen += 1
        if len(x_VE) <= self.components + 1 or x_VE.shape[1] <= self.components:
            self._say_inactive(*x_VE.shape)
            return Viewed(x_VE, viewed.mask)
        with torch.autocast(x_VE.device.type, enabled=False):
            return Viewed(on_primary_components(x_VE, self.components), viewed.mask)

    def _say_inactive(self, rows: int, width: int) -> None:
        if self.inactive == 0:
            warnings.warn(
                f"components/inactive: {rows} rows of width {width} of '{self.modality}' lie in their own "
                f"{self.components} primary components, so this term is a plain contrast; raise the batch size on each "
                f"device above {self.components + 1}, or lower `components`",
                RuntimeWarning,
                stacklevel=3,
            )
        self.inactive += 1


def on_primary_components(x_VE: Tensor, components: int) -> Tensor:
    """(V, E) rows on the affine span of the batch's `components` directions of largest spread."""
    mean_1E = x_VE.mean(dim=0, keepdim=True)
    basis_EK = _basis((x_VE - mean_1E).detach(), components)
    if basis_EK is None:
        return x_VE.detach()
    return mean_1E + (x_VE - mean_1E) @ basis_EK @ basis_EK.T


def _basis(centred_VE: Tensor, components: int) -> Tensor | None:
    """(E, K) orthonormal; None when there is none to be had."""
    if not torch.isfinite(centred_VE).all():
        return None
    try:
        _, _, v_RE = torch.linalg.svd(centred_VE, full_matrices=False)
        basis_EK = v_RE[:components].T
    except RuntimeError:  # no convergence; the eigenvectors of the covariance are a coarser way to the same
        try:
            basis_EK = torch.linalg.eigh(centred_VE.T @ centred_VE).eigenvectors[:, -components:]
        except RuntimeError:
            return None
    return basis_EK if torch.isfinite(basis_EK).all() else None
