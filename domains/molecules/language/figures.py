"""How well a language model tells the contexts of a held-out split: nats per token, and of products by themselves.

Shape legend: V = contexts, T = tokens, M = told tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.datamodule import DataModule
from core.errors import ConfigError
from core.evaluation.bootstrap import bootstrap_interval, mean_statistic
from core.models.dual_encoder import DualEncoder
from core.training.figures import Figure
from core.training.precision import Compute
from domains.molecules.language.processor import PRODUCT_SMILES, SMILES, ContextProcessor, context_of
from domains.molecules.language.prompted import GraphPromptedLM
from domains.molecules.language.terms import token_errors, told
from domains.molecules.reactions.context import PRODUCT, Context

BATCH = 16
COUNTED = 400  # training contexts that the frequencies of the baseline are counted on


class ContextLoss(Figure):
    """Nats per told token of whole held-out contexts: all tokens, characters of SMILES, and those of products, once
    behind the other molecules of their reaction and once by themselves.

    Beside them what the frequencies of training tokens give (add-one), and the shares of tokens told right.
    """

    headline: ClassVar[Mapping[str, str]] = {
        "held-out contexts, nats per token": "context/nats",
        "  by token frequencies": "context/nats_unigram",
        "product SMILES in its reaction": "context/product_nats",
        "  the same product alone": "context/product_alone_nats",
        "  by token frequencies, products": "context/product_nats_unigram",
    }

    def __init__(self, *, modality: str = "context", most: int = 400) -> None:
        """most: contexts of a split that are measured, evenly spaced."""
        if most < 1:
            raise ConfigError(f"ContextLoss: most is {most}; give at least 1")
        self.modality, self.most = modality, most

    def check(self, model: DualEncoder) -> None:
        if self.modality not in model.reads or not isinstance(model.encoder_of(self.modality), GraphPromptedLM):
            raise ConfigError(f"ContextLoss: '{self.modality}' is not read by a GraphPromptedLM")

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        processor = data.processors[self.modality]
        assert isinstance(processor, ContextProcessor)
        contexts, groups = contexts_of(data, split, self.modality, self.most)
        if not contexts:
            return {}
        frequencies_W = token_frequencies(data, self.modality)
        whole = told_losses(model, processor, contexts, compute, self.modality, frequencies_W)
        products = [(i, alone) for i, context in enumerate(contexts) for alone in product_alone(context)]
        out: dict[str, float] = {}

        def add(name: str, values_V: NDArray[np.float64], of: NDArray[np.str_]) -> None:
            if np.isfinite(values_V).any():
                interval = bootstrap_interval(
                    mean_statistic(values_V), len(values_V), groups_N=of, n=n_bootstrap, seed=seed
                )
                out.update(interval.flat(f"context/{name}"))

        for name, values_V in whole.items():
            add(name, values_V, groups)
        if products:
            alone = told_losses(model, processor, [c for _, c in products], compute, self.modality, frequencies_W)
            add("product_alone_nats", alone["smiles_nats"], groups[[i for i, _ in products]])
        return out


def contexts_of(data: DataModule, split: str, modality: str, most: int) -> tuple[list[Context], NDArray[np.str_]]:
    """At most `most` contexts of a split, evenly spaced, and their groups."""
    dataset = data.dataset(split)
    positions = np.unique(np.linspace(0, len(dataset), min(most, len(dataset)), endpoint=False).astype(int))
    records = [dataset.record(int(i)) for i in positions]
    records = [record for record in records if modality in record.sources]
    return [context_of(r.sources[modality]) for r in records], np.array([r.group for r in records])


def product_alone(context: Context) -> list[Context]:
    """The products of a context, each in a context of its own and without a role, as single molecules are told."""
    return [Context((replace(member, role=""),)) for member in context.members if member.role == PRODUCT]


def token_frequencies(data: DataModule, modality: str) -> NDArray[np.float64]:
    """(W,) add-one shares of the told tokens of training contexts."""
    processor = data.processors[modality]
    assert isinstance(processor, ContextProcessor)
    count_W = np.ones(processor.vocabulary)
    for context in contexts_of(data, "train", modality, COUNTED)[0]:
        labels_T = processor.encode_context(context)["labels"][1:]
        np.add.at(count_W, labels_T[labels_T >= 0], 1)
    return count_W / count_W.sum()


@torch.no_grad()
def told_losses(
    model: DualEncoder,
    processor: ContextProcessor,
    contexts: list[Context],
    compute: Compute,
    modality: str,
    frequencies_W: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Mean over the told tokens of each context, (V,) by name; nan where a context has none of a kind."""
    encoder, out = model.encoder_of(modality), dict[str, list[float]]()
    surprise_W = torch.from_numpy(-np.log(frequencies_W))
    for first in range(0, len(contexts), BATCH):
        samples = [processor.encode_context(context) for context in contexts[first : first + BATCH]]
        inp = processor.collate(samples).to(compute.device)
        with compute.autocast():
            encoded = encoder(inp)
        told_VT = told(inp)
        errors = token_errors(encoder, inp, encoded, told_VT)
        row_M = told_VT.nonzero()[:, 0]
        kind_M = inp.extra["kinds"][:, 1:][told_VT]
        unigram_M = surprise_W[inp.extra["labels"][:, 1:][told_VT].cpu()]
        for row in range(len(samples)):
            for name, kind in (("", -1), ("smiles_", SMILES), ("product_", PRODUCT_SMILES)):
                mine_M = (row_M == row) & (kind_M >= kind)
                values = {"nats": errors.loss, "nats_unigram": unigram_M, "accuracy": errors.hit}
                for what, values_M in values.items():
                    mean = float(values_M[mine_M.to(values_M.device)].double().mean())
                    out.setdefault(f"{name}{what}", []).append(mean)
    return {name: np.array(values) for name, values in out.items()}
