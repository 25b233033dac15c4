"""A causal language model of transformers from a folder on this machine, behind the suite's own interface.

Shape legend: V = rows, T = tokens, M = tokens seen so far, D = width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import CheckpointError, ConfigError
from core.models.causal_lm import Cache, CausalLM


class LocalCache(Cache):
    """The library's own cache; mask (V, M) of real tokens, length (V,) of each row."""

    def __init__(self, values: Any, mask_VM: Tensor) -> None:
        self.values, self.mask_VM, self.length_V = values, mask_VM, mask_VM.sum(dim=1)

    def select(self, rows: Tensor) -> None:
        self.values.batch_select_indices(rows)
        self.mask_VM, self.length_V = self.mask_VM[rows], self.length_V[rows]


class LocalLM(CausalLM[LocalCache]):
    """GPT-2, OPT, Llama and others of `AutoModelForCausalLM`, built from a folder's config.json.

    folder: with config.json and, when `pretrained`, model.safetensors (pickled weights are refused, nothing is
    fetched). tokens: rows of its word table that the processor's vocabulary needs; a smaller table grows by fresh rows,
    so its own tokens keep their meaning only if the processor numbers them alike. max_length: its positions.
    Raises CheckpointError naming the folder that is missing or cannot be read.
    """

    def __init__(self, *, folder: Path, pretrained: bool = True, tokens: int | None = None) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModelForCausalLM

        folder = Path(folder).expanduser()
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{folder}: holds no config.json; give the folder of a local language model")
        self.model: Any
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            if pretrained:
                self.model = AutoModelForCausalLM.from_pretrained(
                    folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
                )
            else:
                self.model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        except (OSError, ValueError, KeyError, RuntimeError) as err:
            raise CheckpointError(f"{folder}: not a causal language model of safetensors ({err})") from err
        table: Any = self.model.get_input_embeddings()
        if tokens is not None and tokens > table.num_embeddings:
            self.model.resize_token_embeddings(tokens, mean_resizing=False)
            table = self.model.get_input_embeddings()
        self.vocab_size, self.width = table.num_embeddings, table.embedding_dim
        self.max_length = int(getattr(config, "max_position_embeddings", 0) or 0)
        if self.max_length < 1:
            raise ConfigError(f"{folder}: config.json names no max_position_embeddings")
        if self.output[0].shape[1] != self.width:
            raise ConfigError(f"{folder}: its output map reads width {self.output[0].shape[1]}, its words {self.width}")

    @property
    def output(self) -> tuple[Tensor, Tensor | None]:
        found = self.model.get_output_embeddings()
        return found.weight, found.bias

    def words(self, ids_VT: Tensor) -> Tensor:
        return self.model.get_input_embeddings()(ids_VT)

    def forward(self, x_VTD: Tensor, mask_VT: Tensor) -> Tensor:
        return self._run(x_VTD, mask_VT, _places(mask_VT)).last_hidden_state

    def begin(self, x_VTD: Tensor, mask_VT: Tensor) -> tuple[Tensor, LocalCache]:
        found = self._run(x_VTD, mask_VT, _places(mask_VT), use_cache=True)
        cache = LocalCache(found.past_key_values, mask_VT)
        rows = torch.arange(len(x_VTD), device=x_VTD.device)
        return found.last_hidden_state[rows, (cache.length_V - 1).clamp_min(0)], cache

    def go_on(self, x_VD: Tensor, cache: LocalCache) -> Tensor:
        cache.mask_VM = torch.cat([cache.mask_VM, torch.ones_like(cache.mask_VM[:, :1])], dim=1)
        found = self._run(
            x_VD[:, None], cache.mask_VM, cache.length_V[:, None], past_key_values=cache.values, use_cache=True
        )
        cache.length_V = cache.length_V + 1
        return found.last_hidden_state[:, 0]

    def _run(self, x_VTD: Tensor, mask_VM: Tensor, place_VT: Tensor, **how: Any) -> Any:
        how = {"use_cache": False, **how}
        return self.model.base_model(
            inputs_embeds=x_VTD, attention_mask=mask_VM.long(), position_ids=place_VT, return_dict=True, **how
        )


def _places(mask_VT: Tensor) -> Tensor:
    """(V, T) number of each token in its row."""
    return (mask_VT.long().cumsum(dim=1) - 1).clamp_min(0)
