"""Node classification as a figure: linear probe, class texts (zero-shot), episodes (few-shot), with chance beside them.

Shape legend: R = nodes, C = classes, D = width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from core.data.datamodule import DataModule
from core.errors import ConfigError, nearest
from core.evaluation.bootstrap import Interval, bootstrap_interval, mean_statistic
from core.evaluation.episodes import episode_accuracy
from core.evaluation.probe import LinearProbe
from core.models.dual_encoder import DualEncoder
from core.training.figures import Figure
from core.training.precision import Compute
from domains.molecules.text_graphs.hashing import hashed_words
from domains.molecules.text_graphs.vectors import NodeVectors, class_vectors, node_vectors, other_graph

PROBED = {"probe": "pooled", "own_words_probe": "own", "near_words_probe": "near"}


class NodeClassification(Figure):
    """Accuracy on a split, in percent of nothing: shares in [0, 1].

    probe: logistic regression on the frozen encoder's vectors of the training nodes, its strength chosen on the
    validation nodes. zero_shot: the class whose text is nearest by cosine, for models that read `text`. few_shot_K: the
    nearest mean of K nodes of each of `ways` classes, episodes within the split. own_words_probe, own_words_zero_shot:
    the same of the hashed words of a node's own text; near_words_probe: of these beside their mean over neighbours.
    majority: share of the largest class.
    layout: another text graph to classify, which nothing was trained on; its probe is trained on its training nodes.
    While training only zero-shot and few-shot are measured.
    """

    headline: ClassVar[Mapping[str, str]] = {
        "node classification, probe accuracy": "nodes/probe",
        "  own words alone": "nodes/own_words_probe",
        "  and the mean of neighbours' words": "nodes/near_words_probe",
        "  zero-shot, class texts": "nodes/zero_shot",
        "  own words against them": "nodes/own_words_zero_shot",
        "  5-shot episodes": "nodes/few_shot_5",
        "  largest class": "nodes/majority",
    }

    def __init__(
        self,
        *,
        modality: str = "graph",
        text: str = "text",
        layout: str = "",
        layout_args: dict[str, Any] | None = None,
        template: str = "{}",
        ways: int = 5,
        shots: tuple[int, ...] = (1, 5),
        episodes: int = 100,
    ) -> None:
        """template: what class texts are put into. Values of another layout are named after it."""
        if "{}" not in template:
            raise ConfigError(f"NodeClassification: template '{template}' has no place {{}} for the class")
        self.modality, self.text, self.template = modality, text, template
        self.layout, self.layout_args = layout, dict(layout_args or {})
        self.ways, self.shots, self.episodes = ways, tuple(shots), episodes
        self.prefix = f"nodes_of_{layout}" if layout else "nodes"
        if layout:
            shown = {
                f"{layout}, never trained on, zero-shot": f"{self.prefix}/zero_shot",
                "  own words there": f"{self.prefix}/own_words_zero_shot",
                "  largest class there": f"{self.prefix}/majority",
            }
            self.headline = shown  # type: ignore[misc]
        self._other: DataModule | None = None

    def check(self, model: DualEncoder) -> None:
        if self.modality not in model.reads:
            raise ConfigError(f"NodeClassification: modality '{self.modality}'{nearest(self.modality, model.reads)}")

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        if self.layout:
            if self._other is None:
                self._other = other_graph(self.layout, self.layout_args, data)
            data = self._other
        found = node_vectors(model, data, split, modality=self.modality, compute=compute)
        if found is None or len(found.known()) < 2:
            return {}
        rows = found.known()
        label_R = found.label[rows]
        values = {"majority": float(np.bincount(label_R).max() / len(label_R)), "nodes": float(len(rows))}
        right: dict[str, NDArray[np.bool_]] = {}
        if self.text in model.reads:
            names_CE = class_vectors(
                model, data, found.texts, modality=self.text, template=self.template, compute=compute
            ).numpy()
            right["zero_shot"] = (found.vectors[rows] @ names_CE.T).argmax(axis=1) == label_R
            words_CF = hashed_words([self.template.format(text) for text in found.texts], found.own.shape[1])
            right["own_words_zero_shot"] = (found.own[rows] @ words_CF.T).argmax(axis=1) == label_R
        if n_bootstrap > 1 and split != "train":
            train, val = (
                node_vectors(model, data, part, modality=self.modality, compute=compute) for part in ("train", "val")
            )
            for name, of in PROBED.items() if train is not None else ():
                assert train is not None
                right[name] = probe_answers(train, val if split != "val" else None, found, rows, of=of) == label_R
        for name, right_R in right.items():
            values |= accuracy(right_R, n_bootstrap=n_bootstrap, seed=seed).flat(name)
        for shots in self.shots:
            try:
                score = episode_accuracy(
                    found.pooled, found.label, ways=self.ways, shots=shots, queries=5, episodes=self.episodes, seed=seed
                )
            except ConfigError:  # a small split has no such episodes; the figure is then missing, not wrong
                continue
            values |= score.flat(f"few_shot_{shots}")
        return {f"{self.prefix}/{name}": value for name, value in values.items() if np.isfinite(value)}


def accuracy(right_R: NDArray[np.bool_], *, n_bootstrap: int, seed: int) -> Interval:
    """Share of right answers and its bootstrap interval over nodes."""
    return bootstrap_interval(mean_statistic(right_R.astype(np.float64)), len(right_R), n=n_bootstrap, seed=seed)


def probe_answers(
    train: NodeVectors, val: NodeVectors | None, found: NodeVectors, rows: NDArray[np.int64], *, of: str
) -> NDArray[np.int64]:
    """Classes that one-against-all logistic regressions give to `rows`. of: the vectors they read."""

    def known(side: NodeVectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        there = side.known()
        return getattr(side, of)[there].astype(np.float64), one_hot(side.label[there], len(side.classes))

    probe, learned = LinearProbe(), known(train)
    if val is not None and len(val.known()):
        probe = probe.chosen(*learned, *known(val))
    answers: NDArray[np.int64] = probe.scores(*learned, getattr(found, of)[rows].astype(np.float64)).argmax(axis=1)
    return answers


def one_hot(label_N: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    return np.eye(classes)[label_N]
