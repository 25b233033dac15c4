"""Mixing the patches of several images inside an encoder, and telling them apart again (MixReorg-style).

After Cai et al. 2023 (MixReorg), whose code is not public: the mixing layer, group size and weights are arguments, and
the progressive mixing with features of the unmixed images is left out.
Shape legend: V = rows of the image modality, G = groups, S = images of a group, N = patches, D = width, E = width of
the shared space.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.encoders.base import BlockContext, BlockHook
from core.errors import ConfigError
from core.objectives.base import Step, Term
from core.objectives.tokens.joint_tokens import steppable
from core.objectives.tokens.sources import tokens_of
from core.objectives.views import View, Viewed
from core.types import Encoded


def mix(x_GSND: Tensor, source_GSN: Tensor) -> Tensor:
    """Patch n of mixed image s is that of image source[s, n] of its group."""
    return x_GSND.gather(1, source_GSN[..., None].expand_as(x_GSND))


def restore(mixed_GSND: Tensor, source_GSN: Tensor) -> Tensor:
    """Inverse of `mix`."""
    return torch.empty_like(mixed_GSND).scatter(1, source_GSN[..., None].expand_as(mixed_GSND), mixed_GSND)


def draw_sources(groups: int, size: int, patches: int, generator: torch.Generator) -> Tensor:
    """(G, S, N) int64: at every patch a uniformly drawn permutation of the images of a group, so that each mixed image
    holds N / S patches of every image in expectation, and all mixed images together hold each patch once."""
    return torch.rand(groups, size, patches, generator=generator).argsort(1)


class Mixed(NamedTuple):
    """encoded: as of the unmixed images, every patch back at its place. rows: (G * S,) int64 of V that were mixed,
    group after group; a rest that fills no group is not among them. source: (G, S, N)."""

    encoded: Encoded
    rows: Tensor
    source: Tensor


class PatchMixing(nn.Module):
    """Runs an encoder whose blocks from `layer` on see mixed images; the last one's patches are put back.

    Prefix tokens stay with their own mixed image. Equal settings share their forward in a step.
    """

    def __init__(self, *, modality: str, size: int = 2, layer: int = 0) -> None:
        """size: images of a group. layer: block before which patches are mixed."""
        super().__init__()
        if size < 1 or layer < 0:
            raise ConfigError(f"PatchMixing: size {size}, layer {layer}; give at least 1 and 0")
        self.modality, self.size, self.layer = modality, size, layer

    def forward(self, step: Step) -> Mixed:
        """Called only when `step.has(modality)`."""
        return step.memo(("patch_mixing", self.modality, self.size, self.layer), lambda: self._run(step))

    def _run(self, step: Step) -> Mixed:
        who = f"PatchMixing of '{self.modality}'"
        encoder = steppable(step, self.modality, who)
        inp = step.input(self.modality)
        groups = len(inp) // self.size
        rows = torch.randperm(len(inp), generator=step.generator)[: groups * self.size]
        drawn: list[Tensor] = []

        def permute(h_VND: Tensor, ctx: BlockContext, *, back: bool) -> Tensor:
            if not ctx.complete or ctx.mask is not None:
                raise ConfigError(f"{who}: needs a grid of patches without padding or dropped tokens")
            patches = h_VND.shape[1] - ctx.prefix
            if not back:
                drawn.append(draw_sources(groups, self.size, patches, step.generator).to(h_VND.device))
            body_GSND = h_VND[rows.to(h_VND.device), ctx.prefix :].unflatten(0, (groups, self.size))
            body_GSND = restore(body_GSND, drawn[0]) if back else mix(body_GSND, drawn[0])
            body_VND = h_VND[:, ctx.prefix :].index_copy(0, rows.to(h_VND.device), body_GSND.flatten(0, 1))
            return torch.cat([h_VND[:, : ctx.prefix], body_VND], dim=1)

        hooks = [
            BlockHook(self.layer, "pre", lambda h, ctx: permute(h, ctx, back=False)),
            BlockHook(encoder.depth - 1, "after_ffn", lambda h, ctx: permute(h, ctx, back=True)),
        ]
        encoded = step.model.encode(self.modality, inp, hooks=hooks)
        return Mixed(encoded, rows.to(inp.x.device), drawn[0])


class Restored(View):
    """(V, E) embedding of images that were mixed inside the encoder and put back, to contrast with the text."""

    def __init__(self, *, mixing: PatchMixing) -> None:
        super().__init__()
        self.modality, self.mixing = mixing.modality, mixing

    def forward(self, step: Step) -> Viewed:
        key = ("restored", self.modality, self.mixing.size, self.mixing.layer)
        return Viewed(step.memo(key, lambda: step.model.project(self.modality, self.mixing(step).encoded)))


class MixedSegmentation(Term):
    """Cross entropy of every mixed patch against the captions of its group: which image did it come from?

    Cosines over temperature, in nats: undecided patches cost ln S, a group of one nothing at all. Only groups count in
    which every image has a caption. Values: "loss", "accuracy".
    """

    def __init__(
        self,
        *,
        mixing: PatchMixing,
        text: str,
        temperature: float = 0.07,
        head: str | None = None,
        name: str | None = None,
    ) -> None:
        """text: modality of the captions, which enter with their embedding. head: name of a module (.., D) -> (.., E)
        among the model's heads that projects patches; the projection of the image when None."""
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"MixedSegmentation: temperature is {temperature}; give a value above 0")
        self.mixing, self.text, self.temperature, self.head = mixing, text, temperature, head
        self.name = f"mixed_{mixing.modality}_{text}" if name is None else name

    def forward(self, step: Step) -> dict[str, Tensor]:
        image, size = self.mixing.modality, self.mixing.size
        image_rows, text_rows, _ = step.paired_rows(image, self.text)
        if len(image_rows) == 0 or len(step.input(image)) < size:
            return {"loss": step.zero()}
        mixed = self.mixing(step)
        caption_V = torch.full((len(step.input(image)),), -1, device=mixed.rows.device)
        caption_V[image_rows.to(caption_V.device)] = text_rows.to(caption_V.device)
        caption_GS = caption_V[mixed.rows].unflatten(0, (-1, size))
        whole_G = (caption_GS >= 0).all(1)
        if not whole_G.any():
            return {"loss": step.zero()}
        tokens = tokens_of(mixed.encoded, image)
        patches_GSND = tokens.x[mixed.rows, tokens.prefix :].unflatten(0, (-1, size))[whole_G]
        patches_GSNE = self._project(step, patches_GSND)
        texts_GSE = step.embedding(self.text)[caption_GS[whole_G]]
        # Put back, patch n of image s belongs to caption s: the same pairs as in the mixed order.
        logits_GSNS = _cosines(patches_GSNE, texts_GSE) / self.temperature
        own_S = torch.arange(size, device=logits_GSNS.device)[:, None, None]
        log_p_GSNS = logits_GSNS.log_softmax(-1)
        loss = -log_p_GSNS.gather(-1, own_S.expand(*logits_GSNS.shape[:-1], 1)).mean()
        accuracy = (logits_GSNS.detach().argmax(-1) == own_S[..., 0]).float().mean()
        return {"loss": loss, "accuracy": accuracy}

    def _project(self, step: Step, x_GSND: Tensor) -> Tensor:
        if self.head is not None:
            return step.head(self.head)(x_GSND)
        flat = step.model.project(self.mixing.modality, Encoded(pooled=x_GSND.flatten(0, 2)))
        return flat.reshape(*x_GSND.shape[:3], -1)


def _cosines(patches_GSNE: Tensor, texts_GSE: Tensor) -> Tensor:
    """(G, S, N, S) in float32 or finer: each patch with the captions of its group."""
    dtype = torch.promote_types(patches_GSNE.dtype, torch.float32)
    with torch.autocast(patches_GSNE.device.type, enabled=False):
        patches, texts = (nn.functional.normalize(x.to(dtype), dim=-1) for x in (patches_GSNE, texts_GSE))
        return torch.einsum("gsne,gte->gsnt", patches, texts)
