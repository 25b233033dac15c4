"""Where the encoder of a fine-tuning run comes from: a pretrained model, its description, or fine-tuned runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.config.build import build
from core.config.tree import Tree, merge
from core.data.processor import Processor
from core.encoders.base import Encoder
from core.errors import ConfigError, nearest
from core.files import sha256_of
from core.hub import SavedModel, locate
from core.models.map_segmenter import ConvNeXtDecoder, MapSegmenter
from core.models.towers import Towers
from core.training import setup
from core.training.finetuned import Finetuned, about_finetuned, encoded, load_finetuned
from core.training.tasks import Task


class Source:
    """Where the encoder comes from: a saved model, or the description of one."""

    def __init__(
        self, *, path: Path | None, saved: SavedModel | None, tree: Tree, modalities: tuple[str, ...],
        shares: Mapping[str, str],
    ) -> None:  # fmt: skip
        """tree: the `model` and `processors` nodes. saved: what is at `path`. shares: see `FinetuneConfig`."""
        self.path, self.saved, self.modalities = path, saved, modalities
        self.model_node: Tree = tree["model"]
        self.own = {name: shares.get(name, name) for name in modalities}  # modality -> its pretrained one
        self.nodes: Tree = {name: tree["processors"][own] for name, own in self.own.items()}

    @property
    def description(self) -> str:
        return str(self.path) if self.path is not None else "built from its system's YAML"

    @property
    def fitted(self) -> bool:
        """Whether the processors come with what they learned."""
        return self.saved is not None

    def encoder(self, init: str, seed: int) -> Encoder:
        """The encoder with pretrained weights, or with fresh ones that depend on the seed alone."""
        if init == "scratch" or self.saved is None:
            return setup.build_model(self.model_node, seed).encoder_of_all(encoded(self.own))
        return self.saved.model.encoder_of_all(encoded(self.own))

    def processors(self, changes: Mapping[str, Tree]) -> dict[str, Processor]:
        """The modalities' processors as they were pretrained with, or with `changes` laid over their nodes."""
        self._refuse_unread(changes)
        if not changes and self.saved is not None:
            return {name: self.saved.processors[own] for name, own in self.own.items()}
        nodes = self.processor_nodes(changes)
        setup.check_processors(nodes)
        processors = setup.build_processors(nodes)
        if self.saved is not None and self.path is not None:
            for name, processor in processors.items():
                processor.restore(locate(self.path) / "processors" / self.own[name])
        return processors

    def check(self, task: Task) -> None:
        """Raise ConfigError where a task does not fit what the weights were trained for."""

    def _refuse_unread(self, changes: Mapping[str, Tree]) -> None:
        for modality in changes:
            if modality not in self.modalities:
                raise ConfigError(f"data.processors: fine-tuning reads {', '.join(self.modalities)}, not '{modality}'")

    def processor_nodes(self, changes: Mapping[str, Tree]) -> dict[str, Tree]:
        """The modalities' processor nodes, with `changes` laid over them."""
        changed = {  # on the command line `init_args` may be left out
            modality: node if {"class_path", "init_args"} & set(node) else {"init_args": node}
            for modality, node in changes.items()
        }
        return merge(self.nodes, changed)

    def fingerprint(self, init: str) -> str:
        if init == "scratch" or self.path is None:
            return "scratch"
        return sha256_of(locate(self.path) / "model.safetensors")[:16]


class TowerSource(Source):
    """Fine-tuned runs of single modalities as the towers of one model, which begins as they ended.

    Their processors come with them. Raises ConfigError for runs of other modalities, tasks or decoders.
    """

    def __init__(self, runs: Mapping[str, Path], modalities: Sequence[str]) -> None:
        """runs: modality -> fine-tuned run. modalities: those to be read, all of which have one."""
        for name in modalities:
            if name not in runs:
                raise ConfigError(f"towers: no fine-tuned run for '{name}'{nearest(name, runs)}")
        self._found: dict[str, Finetuned] = {}
        self.classes: dict[str, tuple[str, ...]] = {}
        towers, decoders, processors = {}, {}, {}
        for name in modalities:
            run = Path(runs[name]).expanduser().absolute()
            about, found = about_finetuned(run), load_finetuned(run)
            if about["modalities"] != [name]:
                raise ConfigError(
                    f"towers.{name}: {run} reads {', '.join(about['modalities'])}; give one of --modality {name}"
                )
            head = found.model.head
            if not isinstance(head, MapSegmenter) or not isinstance(head.decoder, ConvNeXtDecoder):
                raise ConfigError(f"towers.{name}: {run} holds a {type(head).__name__}; give a run that labels pixels")
            node = {"class_path": "core.models.PartOf", "init_args": {"model": about["encoder"], "modality": name}}
            towers[name], processors[name] = node, about["processors"][name]
            decoders[name] = {
                "class_path": "core.models.map_segmenter.ConvNeXtDecoder", "init_args": head.decoder.settings()
            }  # fmt: skip
            self._found[name], self.classes[name] = found, found.task.classes
        node = {"class_path": "core.models.Towers", "init_args": {"towers": towers, "decoders": decoders}}
        super().__init__(
            path=None,
            saved=None,
            tree={"model": node, "processors": processors},
            modalities=tuple(modalities),
            shares={},
        )
        self._runs = dict(runs)

    @property
    def description(self) -> str:
        return ", ".join(f"{name} of {self._runs[name]}" for name in self.modalities)

    @property
    def fitted(self) -> bool:
        return True

    def check(self, task: Task) -> None:
        for name, classes in self.classes.items():
            if classes != task.classes:
                raise ConfigError(
                    f"towers.{name}: {self._runs[name]} knows {', '.join(classes)}, the task "
                    f"{', '.join(task.classes)}; name the same classes in the same order"
                )

    def encoder(self, init: str, seed: int) -> Encoder:
        model = setup.build_model(self.model_node, seed)
        assert isinstance(model, Towers)
        encoder = model.encoder_of_all(self.modalities)
        if init == "scratch":
            return encoder
        for name, found in self._found.items():
            head = found.model.head
            assert isinstance(head, MapSegmenter)
            own: Any = encoder.encoders[name]
            own.encoder.load_state_dict(head.encoder.state_dict())
            encoder.decoders[name].load_state_dict(head.decoder.state_dict())
        return encoder

    def processors(self, changes: Mapping[str, Tree]) -> dict[str, Processor]:
        self._refuse_unread(changes)
        if not changes:
            return {name: found.processors[name] for name, found in self._found.items()}
        nodes = self.processor_nodes(changes)
        setup.check_processors(nodes)
        built: dict[str, Processor] = {name: build(node) for name, node in nodes.items()}
        for name, processor in built.items():
            processor.restore(Path(self._runs[name]).expanduser() / "processors" / name)
        return built

    def fingerprint(self, init: str) -> str:
        joined = "".join(found.fingerprint for found in self._found.values())
        return "scratch" if init == "scratch" else hashlib.sha256(joined.encode()).hexdigest()[:16]
