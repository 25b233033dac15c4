"""Telling the next token of a context: the loss of pretraining and of fine-tuning.

Shape legend: V = contexts, T = tokens, M = tokens that are told, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.encoders.base import Encoder
from core.errors import ConfigError
from core.objectives.base import Step, StepModel, Term
from core.objectives.tokens.vocabulary import Classes, TokenErrors, hard_cross_entropy
from core.types import Encoded, ModalityInput
from domains.molecules.language.processor import NOT_TOLD, SMILES
from domains.molecules.language.prompted import GraphPromptedLM


class NextToken(Term):
    """Cross-entropy of each told token given those before it, mean over the batch, nats, float32 or finer.

    The first token is never told, nor are padding, placeholders and, in contexts with a target, what stands before it.
    Values: "loss", "accuracy", "smiles" (loss of the characters of SMILES). Nothing to tell: an exact 0 with a graph.
    """

    name = "next_token"

    def __init__(self, *, modality: str = "context") -> None:
        super().__init__()
        self.modality = modality

    def forward(self, step: Step) -> dict[str, Tensor]:
        if not step.has(self.modality):
            return {"loss": step.zero()}
        encoder = language_model(step.model, self.modality)
        inp = step.input(self.modality)
        told_VT = told(inp)
        if not told_VT.any():
            return {"loss": step.zero()}
        found = token_errors(encoder, inp, step.encoded(self.modality), told_VT)
        smiles_M = (inp.extra["kinds"][:, 1:] >= SMILES)[told_VT]
        with torch.no_grad():
            of_smiles = found.loss[smiles_M].mean() if smiles_M.any() else found.loss.new_zeros(())
        return {"loss": found.loss.mean(), "accuracy": found.hit.float().mean(), "smiles": of_smiles}


def language_model(model: StepModel, modality: str) -> GraphPromptedLM:
    """The encoder of contexts. Raises ConfigError when the modality has another encoder."""
    encoder = model.encoders[model.reads[modality]]
    if not isinstance(encoder, GraphPromptedLM):
        raise ConfigError(f"'{modality}' is read by a {type(encoder).__name__}; telling tokens needs a GraphPromptedLM")
    return encoder


def told(inp: ModalityInput) -> Tensor:
    """(V, T - 1) bool: whether the token after each position is told."""
    return inp.extra["labels"][:, 1:] != NOT_TOLD


def token_errors(encoder: Encoder, inp: ModalityInput, encoded: Encoded, told_VT: Tensor) -> TokenErrors:
    """Loss and hit of the tokens after the positions `told_VT`, in order of rows."""
    assert isinstance(encoder, GraphPromptedLM)
    assert encoded.tokens is not None
    return hard_cross_entropy(
        encoded.tokens.x[:, :-1][told_VT], Classes(*encoder.lm.output), inp.extra["labels"][:, 1:][told_VT]
    )
