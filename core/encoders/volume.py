"""Vision transformer over 3D patches.

Shape legend: V = rows, C = channels, S, H, W = slices, rows, columns, N = tokens, D = width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from core.encoders.image import check_parts
from core.encoders.transformer import TransformerEncoder, class_tokens, prepend_class
from core.errors import ConfigError, DataError
from core.nn import MeanPool, PatchEmbed, Pooling, Positions, SinCosPositions, init_transformer
from core.types import ModalityInput, Tokens


class VolumeTransformer(TransformerEncoder):
    """Volumes (V, C, S, H, W), mask (V, S) of real slices -> tokens, pooled vector, one-level pyramid.

    volume_size, patch: voxels in order (S, H, W). S may be anything up to volume_size[0]: positions along S count from
    the first slice, so that a row does not depend on the padding of its batch; a token is real when any of its slices
    is. In the plane other sizes resample the positions. pool, stem, positions, class_token: as in ImageTransformer.
    Raises ConfigError when sizes do not fit together, DataError for a volume with more slices.
    """

    def __init__(
        self,
        *,
        volume_size: Sequence[int] = (32, 96, 96),
        patch: Sequence[int] = (4, 16, 16),
        channels: int = 3,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        class_token: bool | int = True,
        pool: Pooling | None = None,
        stem: PatchEmbed | None = None,
        positions: Positions | None = None,
    ) -> None:
        super().__init__(
            width=width,
            depth=depth,
            heads=heads,
            pool=MeanPool() if pool is None else pool,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            drop_path=drop_path,
        )
        if len(volume_size) != 3 or len(patch) != 3 or any(n % p for n, p in zip(volume_size, patch)):
            raise ConfigError(
                f"VolumeTransformer: volume_size {list(volume_size)} must be three multiples of patch {list(patch)}"
            )
        grid = tuple(n // p for n, p in zip(volume_size, patch))
        self.volume_size, self.patch = tuple(volume_size), tuple(patch)
        init_transformer(self)
        self.class_token = class_tokens(int(class_token), width)
        # After the initialisation above, which is not theirs.
        self.stem = PatchEmbed(patch=patch, channels=channels, width=width) if stem is None else stem
        self.positions = SinCosPositions(grid=grid, width=width) if positions is None else positions
        check_parts("VolumeTransformer", self.stem, self.positions, self.patch, grid, width)

    def embed(self, inp: ModalityInput) -> Tokens:
        x, slices, step = inp.x, inp.x.shape[2], self.patch[0]
        if slices > self.volume_size[0]:
            raise DataError(
                f"VolumeTransformer got {slices} slices, it takes up to {self.volume_size[0]}; "
                "raise volume_size[0] or let the processor resample"
            )
        missing = -slices % step
        mask_VS = inp.mask
        if missing > 0:
            x = F.pad(x, (0, 0, 0, 0, 0, missing))
            mask_VS = None if mask_VS is None else F.pad(mask_VS, (0, missing))
        x_VND, grid = self.stem(x)
        x_VND = x_VND + self.place(grid).to(x_VND.dtype)
        x_VND = prepend_class(self.class_token, x_VND)
        prefix = 0 if self.class_token is None else self.class_token.shape[1]
        return Tokens(x=self.dropout(x_VND), mask=self._token_mask(mask_VS, grid, prefix), grid=grid, prefix=prefix)

    def place(self, grid: Sequence[int]) -> Tensor:
        all_slices_ND = self.positions((self.volume_size[0] // self.patch[0], *grid[1:]))
        return all_slices_ND[: math.prod(grid)]

    def _token_mask(self, mask_VS: Tensor | None, grid: tuple[int, ...], prefix: int) -> Tensor | None:
        if mask_VS is None:
            return None
        real_VN = mask_VS.unflatten(1, (grid[0], -1)).any(dim=2).repeat_interleave(grid[1] * grid[2], dim=1)
        return F.pad(real_VN, (prefix, 0), value=True)
