"""Telling what contexts ask for, and weighing given answers, with a model that is at hand.

Shape legend: V = contexts of a batch, T = tokens, M = told tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from core.errors import ConfigError
from core.training.precision import Compute
from domains.molecules.language.processor import ContextProcessor, prompt_of
from domains.molecules.language.prompted import GraphPromptedLM
from domains.molecules.language.terms import token_errors, told
from domains.molecules.reactions.context import Context


@dataclass(frozen=True, slots=True)
class Beams:
    """count: beams of a prompt. length: most tokens that are told. penalty: exponent of the length that the
    log-probability is divided by in the end. batch: prompts at a time."""

    count: int = 5
    length: int = 160
    penalty: float = 0.0
    batch: int = 16

    def __post_init__(self) -> None:
        if min(self.count, self.length, self.batch) < 1:
            raise ConfigError(
                f"beams: {self.count} beams of {self.length} tokens, {self.batch} at a time; all positive"
            )


@torch.no_grad()
def tell(
    encoder: GraphPromptedLM, processor: ContextProcessor, contexts: Sequence[Context], beams: Beams, compute: Compute
) -> list[list[tuple[str, float]]]:
    """For each context its continuations, likeliest first: (text, log-probability / length ** penalty).

    Prompts longer than leaves room for `length` tokens are continued for as long as there is room.
    """
    encoder.eval()
    out: list[list[tuple[str, float]]] = []
    for batch in batches(contexts, beams.batch):
        samples = [processor.encode_context(prompt_of(context)) for context in batch]
        inp = processor.collate(samples).to(compute.device)
        room = max(1, min(beams.length, encoder.lm.max_length - inp.x.shape[1]))
        with compute.autocast():
            found = encoder.tell(
                inp, beams=beams.count, length=room, end_id=processor.end_id, never=processor.never_told,
                length_penalty=beams.penalty,
            )  # fmt: skip
        for ids_KL, score_K in zip(found.ids.tolist(), found.score.tolist(), strict=True):
            pairs = zip(ids_KL, score_K, strict=True)
            out.append([(processor.told_text(ids), score) for ids, score in pairs if score > -torch.inf])
    return out


@torch.no_grad()
def weigh(
    encoder: GraphPromptedLM,
    processor: ContextProcessor,
    contexts: Sequence[Context],
    compute: Compute,
    *,
    batch: int = 32,
) -> list[float]:
    """log p(target | what stands before it) of each context, in nats, the end included."""
    encoder.eval()
    out: list[float] = []
    for part in batches(contexts, batch):
        inp = processor.collate([processor.encode_context(context) for context in part]).to(compute.device)
        with compute.autocast():
            encoded = encoder(inp)
        told_VT = told(inp)
        loss_M = token_errors(encoder, inp, encoded, told_VT).loss
        total_V = loss_M.new_zeros(len(part)).index_add(0, told_VT.nonzero()[:, 0], loss_M)
        out += (-total_V).tolist()
    return out


def with_targets(context: Context, targets: Sequence[str]) -> list[Context]:
    """The context with each of `targets` in the place of its own."""
    return [replace(context, target=target) for target in targets]


def batches(contexts: Sequence[Context], size: int) -> Iterator[Sequence[Context]]:
    for first in range(0, len(contexts), size):
        yield contexts[first : first + size]
