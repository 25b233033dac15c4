"""Vision transformer for images (Dosovitskiy et al. 2021).

Shape legend: V = rows, C = channels, H, W = pixels, N = tokens, D = width.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from core.encoders.transformer import TransformerEncoder, class_tokens, prepend_class
from core.errors import ConfigError
from core.nn import MeanPool, PatchEmbed, Pooling, Positions, SinCosPositions, init_transformer
from core.types import ModalityInput, Tokens


class ImageTransformer(TransformerEncoder):
    """Images (V, C, H, W) of any size that the patch divides -> tokens, pooled vector, one-level pyramid.

    image_size, patch: pixels; image_size is the size that positions are made for, others resample them.
    pool: how tokens become one vector, mean over patches when None. stem: patch embedding, one strided convolution
    when None (then `channels` is its input). positions: fixed sines when None. class_token: a trained token in front,
    or how many of them (TIPS has two, each the summary of another kind of caption).
    Raises ConfigError when sizes do not fit together.
    """

    def __init__(
        self,
        *,
        image_size: int = 96,
        patch: int = 8,
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
        if patch < 1 or image_size % patch != 0:
            raise ConfigError(f"ImageTransformer: image_size {image_size} is no multiple of patch {patch}")
        grid = (image_size // patch,) * 2
        self.image_size, self.patch = image_size, patch
        init_transformer(self)
        self.class_token = class_tokens(int(class_token), width)
        # After the initialisation above, which is not theirs.
        self.stem = PatchEmbed(patch=(patch, patch), channels=channels, width=width) if stem is None else stem
        self.positions = SinCosPositions(grid=grid, width=width) if positions is None else positions
        check_parts("ImageTransformer", self.stem, self.positions, (patch, patch), grid, width)

    def embed(self, inp: ModalityInput) -> Tokens:
        x_VND, grid = self.stem(inp.x)
        x_VND = prepend_class(self.class_token, x_VND + self.place(grid).to(x_VND.dtype))
        prefix = 0 if self.class_token is None else self.class_token.shape[1]
        return Tokens(x=self.dropout(x_VND), grid=grid, prefix=prefix)

    def place(self, grid: Sequence[int]) -> Tensor:
        return self.positions(grid)


def check_parts(
    who: str, stem: PatchEmbed, positions: Positions, patch: tuple[int, ...], grid: tuple[int, ...], width: int
) -> None:
    """Raise ConfigError unless the given stem and positions have the encoder's patch, width and number of axes."""
    if stem.patch != patch or stem.width != width:
        raise ConfigError(
            f"{who}: the stem has patch {stem.patch} and width {stem.width}, the encoder {patch} and {width}"
        )
    if positions.width != width or len(positions.grid) != len(grid):
        raise ConfigError(
            f"{who}: the positions have width {positions.width} and grid {positions.grid}, "
            f"the encoder {width} and {grid}"
        )
