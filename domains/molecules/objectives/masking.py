"""Which atoms of molecules are hidden, and what the encoder sees in their place.

Shape legend: V = molecules, N = padded atoms, A = real atoms of all molecules, F = feature columns of atoms.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.errors import ConfigError
from core.types import ModalityInput
from domains.molecules.graphs.vocabulary import vocabulary as vocabulary_called


class Hidden(NamedTuple):
    """inp: what the encoder sees. atoms: (V, N) bool, to be predicted. kinds: (V, N) true rows of the first column."""

    inp: ModalityInput
    atoms: Tensor
    kinds: Tensor


class AtomMasking:
    """int(ratio n + 1) atoms of each molecule of n atoms, at most all of them (Hu et al. 2020, section 3.1).

    Their first column becomes the vocabulary's row for a hidden atom, the others row 0. Of all hidden atoms of a batch,
    a share `replace` shows the columns of some other atom of the batch, and a share `keep` its own (GraphMAE: random
    replacement); these are predicted like the rest. A share of few atoms may round down to none.
    """

    def __init__(
        self, *, ratio: float = 0.15, replace: float = 0.0, keep: float = 0.0, vocabulary: str = "hu2"
    ) -> None:
        """Raises ConfigError for shares that cannot be, and for a vocabulary without a row for a hidden atom."""
        names = vocabulary_called(vocabulary)
        if not 0 <= ratio <= 1 or replace < 0 or keep < 0 or replace + keep > 1:
            raise ConfigError(
                f"AtomMasking: ratio {ratio}, replace {replace}, keep {keep}; ratio lies in [0, 1], the shares "
                "sum to at most 1"
            )
        if names.atom_mask is None:
            raise ConfigError(f"AtomMasking: vocabulary '{vocabulary}' has no row for a hidden atom; take hu2")
        self.ratio, self.replace, self.keep, self.vocabulary = ratio, replace, keep, vocabulary
        self._token = names.atom_mask

    @property
    def kinds(self) -> int:
        """How many kinds of atoms there are to predict: the rows before that of the hidden atom."""
        return self._token

    def hide(self, inp: ModalityInput, generator: torch.Generator) -> Hidden:
        """Draw the hidden atoms of a batch. Every draw comes from the CPU generator."""
        assert inp.mask is not None
        real_VN = inp.mask.cpu()
        noise_VN = torch.rand(real_VN.shape, generator=generator) + 2.0 * ~real_VN
        rank_VN = noise_VN.argsort(1).argsort(1)
        count_V = (real_VN.sum(1).double() * self.ratio + 1).long()
        hidden_VN = real_VN & (rank_VN < count_V[:, None])
        x_VNF = inp.x.clone()
        token_F = torch.zeros(x_VNF.shape[2], dtype=x_VNF.dtype, device=x_VNF.device)
        token_F[0] = self._token
        where_H2 = hidden_VN.nonzero()
        order_H = torch.randperm(len(where_H2), generator=generator)
        replaced, kept = int(self.replace * len(order_H)), int(self.keep * len(order_H))
        covered = where_H2[order_H[replaced + kept :]].to(x_VNF.device)
        x_VNF[covered[:, 0], covered[:, 1]] = token_F
        swapped = where_H2[order_H[:replaced]].to(x_VNF.device)
        pool_A2 = real_VN.nonzero()
        drawn = pool_A2[torch.randint(len(pool_A2), (replaced,), generator=generator)].to(x_VNF.device)
        x_VNF[swapped[:, 0], swapped[:, 1]] = inp.x[drawn[:, 0], drawn[:, 1]]
        seen = ModalityInput(x_VNF, inp.mask, inp.extra)
        return Hidden(seen, hidden_VN.to(inp.x.device), inp.x[..., 0])
