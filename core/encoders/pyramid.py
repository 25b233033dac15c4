"""What is where in an image: averages over a grid of cells, of the input itself and of a deeper encoder's features.

Shape legend: V = rows, C = channels, H, W = pixels, h, w = cells, D = width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from core.encoders.base import BlockHook, Encoder
from core.errors import ConfigError
from core.nn import BatchNormPerKind
from core.types import Encoded, ModalityInput


class SpatialPyramid(Encoder):
    """Images (V, C, H, W) -> pooled vector that keeps places apart (spatial pyramid, Lazebnik et al. 2006).

    y = W_0 bn(cells(x)) + W_1 bn(cells(f(x))): `cells` averages each channel over every cell of a grid, f(x) is the
    last feature map of `encoder`. Where the channels of x are narrow intensity windows, the first term is a regional
    histogram, which tells the extent and place of what has a typical intensity, and is learned in a few hundred steps;
    where images are roughly aligned (a chest fills the picture), that is much. W_1 starts at zero: the deep features
    join in as they become useful, and do not drown the statistics while they are still noise.
    Global pooling (`ConvNet`) is the choice for images that are not aligned.

    channels: C. width: D. grid: (h, w) cells of the input; deep_grid: of f(x). encoder: one with a pyramid, whose maps
    are this encoder's pyramid too; None = the statistics alone. There are no tokens.
    """

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        grid: tuple[int, int] = (4, 4),
        deep_grid: tuple[int, int] = (4, 4),
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__()
        for name, cells in (("grid", grid), ("deep_grid", deep_grid)):
            if min(cells) < 1:
                raise ConfigError(f"SpatialPyramid: {name} is {tuple(cells)}; give two positive counts of cells")
        if encoder is not None and not encoder.pyramid_channels:
            raise ConfigError(f"SpatialPyramid: {type(encoder).__name__} gives no feature maps; use ConvNet")
        self.width = width
        self.encoder = encoder
        self.pyramid_channels = () if encoder is None else encoder.pyramid_channels
        self.shallow = _CellsToVector(channels, grid, width)
        self.deep = None
        if encoder is not None:
            self.deep = _CellsToVector(encoder.pyramid_channels[-1], deep_grid, width)
            nn.init.zeros_(self.deep.linear.weight)

    def forward(
        self,
        inp: ModalityInput,
        *,
        keep: Tensor | None = None,
        want: Collection[int] = (),
        hooks: Sequence[BlockHook] = (),
    ) -> Encoded:
        self.refuse_steps(keep, want, hooks)
        pooled_VD = self.shallow(inp.x)
        if self.encoder is None or self.deep is None:
            return Encoded(pooled=pooled_VD)
        pyramid = self.encoder(inp).pyramid
        assert pyramid is not None
        return Encoded(pooled=pooled_VD + self.deep(pyramid[-1]), pyramid=pyramid)


class _CellsToVector(nn.Module):
    """(V, C, H, W) -> (V, D): cell averages, standardised, and a linear map."""

    def __init__(self, channels: int, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.grid = (grid[0], grid[1])
        features = channels * grid[0] * grid[1]
        # A bin that hardly any patient has varies by 1e-4 and may be the finding itself: an eps far below that
        self.norm = BatchNormPerKind(channels=features, eps=1e-8, affine=False)
        self.linear = nn.Linear(features, width)
        nn.init.normal_(self.linear.weight, std=features**-0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x_VCHW: Tensor) -> Tensor:
        cells_VK = F.adaptive_avg_pool2d(x_VCHW, self.grid).flatten(1)
        return self.linear(self.norm(cells_VK.float()))
