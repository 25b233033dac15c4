"""Few-shot by a graph prompt (GraphCLIP, Zhu et al. 2025): one trained vector on all nodes, the rest frozen.

The published code lacks this part; the prompt is that of Fang et al. 2023 (GPF), the loss the one of pretraining.
Shape legend: R = labelled nodes, C = classes, F = features, E = width of the shared space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from core.data.datamodule import DataModule
from core.errors import ConfigError, nearest
from core.models.dual_encoder import DualEncoder
from core.objectives.few_shot import matched
from core.training.figures import Figure
from core.training.precision import Compute
from core.types import ModalityInput
from domains.molecules.text_graphs.vectors import class_vectors, node_vectors


class PromptTuning(Figure):
    """Zero-shot accuracy with a prompt that was tuned on `shots` training nodes of each class, beside that without.

    The prompt (F,) starts at 0 and takes `steps` of Adam on the symmetric cross entropy between the nodes' vectors and
    their classes' texts. Mean over `draws` draws of nodes; `_low` and `_high` are the least and the largest of them.
    While training it is not measured.
    """

    headline: ClassVar[Mapping[str, str]] = {"prompt tuned on 5 of each class": "nodes/prompt_5"}

    def __init__(
        self,
        *,
        modality: str = "graph",
        text: str = "text",
        template: str = "{}",
        shots: int = 5,
        draws: int = 3,
        steps: int = 30,
        lr: float = 1e-2,
        scale: float = 14.3,
    ) -> None:
        """scale: what cosines are multiplied by in the loss, 1 / temperature."""
        if min(shots, draws, steps) < 1:
            raise ConfigError(f"PromptTuning: shots {shots}, draws {draws}, steps {steps} must be positive")
        self.modality, self.text, self.template = modality, text, template
        self.shots, self.draws, self.steps, self.lr, self.scale = shots, draws, steps, lr, scale
        self.headline = {f"prompt tuned on {shots} of each class": f"nodes/prompt_{shots}"}  # type: ignore[misc]

    def check(self, model: DualEncoder) -> None:
        for modality in (self.modality, self.text):
            if modality not in model.reads:
                raise ConfigError(f"PromptTuning: modality '{modality}'{nearest(modality, model.reads)}")

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        train = node_vectors(model, data, "train", modality=self.modality, compute=compute) if n_bootstrap > 1 else None
        if train is None or split == "train":
            return {}
        names_CE = class_vectors(
            model, data, train.texts, modality=self.text, template=self.template, compute=compute
        ).to(compute.device)
        found = []
        for draw in range(self.draws):
            rows = few_of_each(train.label, self.shots, seed=seed * self.draws + draw)
            inp = self._inputs(data, "train", rows).to(compute.device)
            label_R = torch.from_numpy(train.label[rows]).to(compute.device)
            prompt = self.tuned(model, inp, label_R, names_CE)
            found.append(self._accuracy(model, data, split, prompt, names_CE, compute))
        name = f"nodes/prompt_{self.shots}"
        return {name: float(np.mean(found)), f"{name}_low": min(found), f"{name}_high": max(found)}

    def tuned(self, model: DualEncoder, inp: ModalityInput, label_R: Tensor, names_CE: Tensor) -> Tensor:
        """(F,) the prompt for these labelled nodes. The model is not changed."""
        if not inp.x.is_floating_point():
            raise ConfigError(f"PromptTuning: '{self.modality}' holds {inp.x.dtype}; a prompt is added to features")
        scale = torch.tensor(self.scale, device=inp.x.device)
        with torch.enable_grad():
            prompt = torch.zeros(inp.x.shape[-1], device=inp.x.device, requires_grad=True)
            optimizer = torch.optim.Adam([prompt], lr=self.lr)
            for _ in range(self.steps):
                seen = prompted(inp, prompt)
                vector_RE = model.project(self.modality, model.encode(self.modality, seen))
                loss, _ = matched(vector_RE, names_CE[label_R], label_R, scale)
                (prompt.grad,) = torch.autograd.grad(loss, [prompt])  # of nothing else, so that the model keeps none
                optimizer.step()
        return prompt.detach()

    def _inputs(self, data: DataModule, split: str, rows: np.ndarray) -> ModalityInput:
        """The nodes numbered `rows` among those of the split that have the modality."""
        dataset, processor = data.dataset(split), data.processors[self.modality]
        samples = (dataset[position]["inputs"].get(self.modality) for position in range(len(dataset)))
        wanted = [sample for sample in samples if sample is not None]
        return processor.collate([wanted[int(row)] for row in rows])

    def _accuracy(
        self, model: DualEncoder, data: DataModule, split: str, prompt: Tensor, names_CE: Tensor, compute: Compute
    ) -> float:
        right = total = 0
        columns = list(data.layouts[split].tables["classes"])
        for batch in data.eval_loader(split):
            if self.modality not in batch.inputs:
                continue
            vector_VE, _ = model.embed(self.modality, prompted(batch.inputs[self.modality].to(compute.device), prompt))
            labels_VC = torch.stack([batch.labels[name] for name in columns], dim=1)[batch.present[self.modality]]
            known_V = ~labels_VC.isnan().any(dim=1)
            answer_V = (vector_VE @ names_CE.T).argmax(dim=1).cpu()
            right += int((answer_V == labels_VC.nan_to_num().argmax(dim=1))[known_V].sum())
            total += int(known_V.sum())
        return right / max(total, 1)


def prompted(inp: ModalityInput, prompt_F: Tensor) -> ModalityInput:
    """The same subgraphs with the prompt on the features of their real nodes."""
    assert inp.mask is not None
    return replace(inp, x=inp.x + prompt_F * inp.mask[..., None])


def few_of_each(label_R: np.ndarray, shots: int, *, seed: int) -> np.ndarray:
    """Rows of `shots` nodes of each class (all of a class that has fewer), drawn by `seed`."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(label_R == label))[:shots] for label in np.unique(label_R[label_R >= 0])]
    return np.sort(np.concatenate(chosen))
