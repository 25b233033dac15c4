"""Saved models: a folder of config.json, model.safetensors, processor files and a card; local, or on the Hub.

encoder = load_encoder("runs/.../pretrain-x", "image")
vector = encoder.encode("file")            # (E,) unit length, the same vector that training saw
vectors = encoder.encode(["a", "b"])       # (2, E)
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import nn

from core.config.build import build
from core.config.check import FaultFinder, is_node
from core.data.processor import CONTENT_KINDS, Processor
from core.errors import CheckpointError, ConfigError, DataError, HeptadError, nearest
from core.files import MANIFEST, atomic_folder, fsync, sha256_of, verify_manifest
from core.models.dual_encoder import DualEncoder
from core.weights import owned

FORMAT = 1
# A saved config is data from elsewhere: it may name classes of these packages only, so that loading runs no other code.
TRUSTED = ("core.", "domains.", "torch.nn.")
SHOWN = 20  # faults of weights that a message lists
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class SavedModel:
    """A model with the processors it was trained with.

    model: in evaluation mode. processors: modality -> fitted processor. about: what the card was made from.
    """

    def __init__(
        self,
        *,
        model: DualEncoder,
        model_node: Mapping[str, Any],
        processors: Mapping[str, Processor],
        processor_nodes: Mapping[str, Any],
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model.eval()
        self.model_node = dict(model_node)
        self.processors = dict(processors)
        self.processor_nodes = dict(processor_nodes)
        self.about = dict(about or {})

    def save_pretrained(self, folder: Path | str, *, card: str = "") -> Path:
        """Write the folder, whole or not at all; an older one of the same name is replaced."""
        from safetensors.torch import save_file

        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or (_is_used(folder) and not (folder / "config.json").is_file())):
            raise CheckpointError(f"{folder}: exists and holds no saved model; choose another folder")
        config = {
            "format": FORMAT,
            "model": self.model_node,
            "processors": self.processor_nodes,
            "about": self.about,
        }
        fresh = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        with atomic_folder(fresh, error=CheckpointError) as partial:
            (partial / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
            save_file(owned(self.model.state_dict()), partial / "model.safetensors", metadata={"format": "pt"})
            for modality, processor in self.processors.items():
                (partial / "processors" / modality).mkdir(parents=True)
                processor.save(partial / "processors" / modality)
            (partial / "README.md").write_text(card or f"# {folder.name}\n", encoding="utf-8")
        if folder.exists():  # the old one goes when the new one is durable
            shutil.rmtree(folder)
        fresh.rename(folder)
        fsync(folder.parent)
        return folder

    @classmethod
    def from_pretrained(cls, where: Path | str, *, revision: str | None = None, device: str = "cpu") -> SavedModel:
        """Load a saved folder, a run (its `model/`), or a Hub repository by id (then `revision` is a commit).

        Raises CheckpointError naming the file that is missing, damaged or does not fit.
        """
        folder = locate(where, revision)
        config = _read_config(folder / "config.json")
        _check_hashes(folder)
        model = built_part(folder / "config.json", "model", without_downloads(config["model"]))
        assert isinstance(model, DualEncoder)
        _load_weights(model, folder / "model.safetensors")
        processors: dict[str, Processor] = {}
        for modality, node in config["processors"].items():
            processors[modality] = built_part(folder / "config.json", f"processors.{modality}", node)
            processors[modality].restore(folder / "processors" / modality)
        model.take(processors)
        return cls(
            model=model.to(device),
            model_node=config["model"],
            processors=processors,
            processor_nodes=config["processors"],
            about=config.get("about", {}),
        )

    def push_to_hub(self, repo_id: str, *, private: bool = True, card: str = "") -> str:
        """Upload to the Hub through huggingface_hub (which holds the login); returns the commit's URL."""
        import tempfile

        from huggingface_hub import HfApi

        with tempfile.TemporaryDirectory() as scratch:
            folder = self.save_pretrained(Path(scratch) / "model", card=card)
            api = HfApi()
            api.create_repo(repo_id, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repo_id, folder_path=str(folder)).commit_url)

    def encoder(self, modality: str) -> ModalityEncoder:
        """The encoder of one modality. Raises ConfigError listing the modalities there are."""
        if modality not in self.processors:
            raise ConfigError(f"the saved model has no modality '{modality}'{nearest(modality, self.processors)}")
        return ModalityEncoder(self, modality)


class ModalityEncoder:
    """From a file, or what its processor takes, to a vector. The processor is the one training used."""

    def __init__(self, saved: SavedModel, modality: str) -> None:
        self.modality = modality
        self.processor = saved.processors[modality]
        self.model = saved.model
        self.dim = saved.model.dim

    def encode(self, source: Any, *, batch_size: int = 16, pooled: bool = False) -> np.ndarray:
        """(E,) float32 unit vector of one source, (N, E) of a list of them.

        source: a path, content (text), or whatever the processor's `load` documents, such as (array, affine).
        pooled: the encoder's own feature (D,), before the projection into the shared space.
        Raises DataError naming the file that cannot be read.
        """
        if isinstance(source, list):
            rows = [row for batch in self.encode_many(source, batch_size=batch_size, pooled=pooled) for row in batch]
            width = self.model.width(self.modality) if pooled else self.dim
            return np.stack(rows) if rows else np.zeros((0, width), np.float32)
        return next(self.encode_many([source], batch_size=1, pooled=pooled))[0]

    def encode_many(self, sources: Sequence[Any], *, batch_size: int, pooled: bool = False) -> Iterator[np.ndarray]:
        """Batches of vectors, in order; memory grows with the batch, not with the list."""
        for first in range(0, len(sources), batch_size):
            samples = [self.load(source) for source in sources[first : first + batch_size]]
            yield self.encode_samples(samples, pooled=pooled)

    def load(self, source: Any) -> dict[str, np.ndarray]:
        """A source through the processor; a str is a path unless the modality is one whose content is a str."""
        if isinstance(source, str) and self.processor.modality_kind not in CONTENT_KINDS:
            source = Path(source)
        sample = self.processor.load(source)
        if not sample:
            raise DataError(f"{str(source)[:60]}: holds nothing for the modality '{self.modality}'")
        return sample

    @torch.no_grad()
    def encode_samples(self, samples: Sequence[Mapping[str, np.ndarray]], *, pooled: bool = False) -> np.ndarray:
        """Vectors of loaded samples."""
        device = next(self.model.parameters()).device
        vector_VE, pooled_VD = self.model.embed(self.modality, self.processor.collate(samples).to(device))
        out = (pooled_VD if pooled else vector_VE).cpu().numpy()
        if not np.isfinite(out).all():
            raise DataError(f"the {self.modality} encoder gives a value that is not finite; check the input's values")
        return out


def load_encoder(
    where: Path | str, modality: str, *, device: str = "cpu", revision: str | None = None
) -> ModalityEncoder:
    """The encoder of `modality` from a run, a saved folder or a Hub id."""
    return SavedModel.from_pretrained(where, device=device, revision=revision).encoder(modality)


def locate(where: Path | str, revision: str | None = None) -> Path:
    """The folder with config.json that `where` means: itself, its `model/`, or a download from the Hub.

    Raises CheckpointError when there is none; a Hub id without a 40-digit commit is refused before any connection.
    """
    folder = Path(where).expanduser()
    if (folder / "model" / "config.json").is_file():
        return folder / "model"
    if (folder / "config.json").is_file():
        return folder
    text = str(where)
    if folder.exists():
        raise CheckpointError(f"{where}: holds no saved model (no config.json here or in model/); give a finished run")
    if not _HUB_ID.fullmatch(text):
        raise CheckpointError(f"{where}: no such folder")
    if revision is None or not _COMMIT.fullmatch(revision):
        raise CheckpointError(f"{where}: a Hub repository needs revision=<40-digit commit>, so that it cannot change")
    from huggingface_hub import snapshot_download

    try:
        allow = ["config.json", "model.safetensors", "processors/**", "README.md", MANIFEST]
        return Path(snapshot_download(text, revision=revision, allow_patterns=allow))
    except Exception as err:  # the Hub client has a family of errors for one fact
        raise CheckpointError(f"{where}: no such folder, and not to be had from the Hub ({err})") from err


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        raise CheckpointError(f"{path}: cannot be read ({err}); copy the saved model again") from err
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"{path}: format {found!r}, this version reads format {FORMAT}")
    for key in ("model", "processors"):
        if not isinstance(config.get(key), dict):
            raise CheckpointError(f"{path}: '{key}' is missing; copy the saved model again")
    for modality in config["processors"]:
        if not re.fullmatch(r"\w[\w-]*", modality):
            raise CheckpointError(f"{path}: '{modality}' cannot be the name of a modality")
    require_trusted(config, path)
    finder = FaultFinder()
    finder.node("model", config["model"], DualEncoder)
    for modality, node in config["processors"].items():
        finder.node(f"processors.{modality}", node, Processor)
    if finder.faults:
        raise CheckpointError(f"{path}: does not fit this version:\n" + "\n".join(f"  - {f}" for f in finder.faults))
    return config


def require_trusted(config: Mapping[str, Any], path: Path) -> None:
    """Raises CheckpointError when a saved config names a class from elsewhere than the trusted packages."""
    for name in class_paths(config):
        if not name.startswith(TRUSTED) or ".." in name:
            raise CheckpointError(f"{path}: names the class '{name}'; a saved model may use {', '.join(TRUSTED)} only")


def _is_used(folder: Path) -> bool:
    return any(folder.iterdir())


def built_part(path: Path, key: str, node: Mapping[str, Any]) -> Any:
    """What a node of a saved config describes; whatever its arguments do to a constructor is the file's fault."""
    try:
        return build(node)
    except (HeptadError, ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError) as err:
        raise CheckpointError(f"{path}: '{key}' cannot be built ({err}); copy the saved model again") from err


def without_downloads(value: Any) -> Any:
    """A node whose parts do not fetch pretrained weights: the saved ones are loaded over them anyway."""
    if isinstance(value, Mapping):
        return {k: False if k == "pretrained" and v is True else without_downloads(v) for k, v in value.items()}
    return [without_downloads(part) for part in value] if isinstance(value, list) else value


def _check_hashes(folder: Path) -> None:
    """Compare what is loaded with the manifest, where there is one (the card may be edited, the rest may not)."""
    if not (folder / MANIFEST).is_file():
        return
    faults = [
        fault
        for fault in verify_manifest(folder, full=True, error=CheckpointError)
        if fault.startswith(("config.json", "model.safetensors", "processors/")) and "not in the manifest" not in fault
    ]
    if faults:
        raise CheckpointError(
            f"{folder}: is damaged; copy the saved model again:\n" + "\n".join(f"  - {fault}" for fault in faults)
        )


def class_paths(value: Any) -> Iterator[str]:
    if is_node(value):
        yield str(value["class_path"])
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for part in parts:
        yield from class_paths(part)


class Adopts(Protocol):
    """A module that can take weights which were saved for a simpler form of it (other names or shapes)."""

    def adopt(self, state: dict[str, torch.Tensor], prefix: str) -> None:
        """Turn the entries of `state` under `prefix` into the module's own; leave what already fits as it is."""


def begin_with(
    model: DualEncoder, processors: Mapping[str, Processor], where: Path, parts: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """Load weights, and what processors learned, of a saved model into parts that training is about to begin with.

    parts: names of modules, such as "encoders.image", that are taken; empty for the whole model. Every name and shape
    below them must be the model's; modules with `adopt` convert theirs first. A processor whose modality the saved
    model has, and an encoder of `parts` reads, gets its fitted state, since token ids mean nothing without it; any
    other is left to be fitted.
    Returns the weights' fingerprint and the modalities whose processors are fitted now. Raises CheckpointError that
    lists what does not fit, ConfigError for a part that the model does not have.
    """
    folder = locate(where)
    config = _read_config(folder / "config.json")
    _check_hashes(folder)
    path = folder / "model.safetensors"
    state = read_weights(path)
    for name, module in model.named_modules():
        if callable(getattr(module, "adopt", None)) and isinstance(module, nn.Module):
            cast(Adopts, module).adopt(state, f"{name}." if name else "")
    for part in parts:
        if not _of_parts(model.state_dict(), [part]):
            raise ConfigError(f"init_parts: the model has no '{part}'{nearest(part, _modules(model))}")
    load_state(model, _of_parts(state, parts), path, parts)
    read = {m for m, encoder in model.reads.items() if not parts or _is_of(f"encoders.{encoder}.", parts)}
    fitted = [modality for modality in processors if modality in config["processors"] and modality in read]
    for modality in fitted:
        processors[modality].restore(folder / "processors" / modality)
    return sha256_of(path)[:16], fitted


def _modules(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_modules() if name]


def _is_of(name: str, parts: Sequence[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def _of_parts(state: Mapping[str, torch.Tensor], parts: Sequence[str]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if not parts or _is_of(name, parts)}


def _load_weights(model: nn.Module, path: Path) -> None:
    load_state(model, read_weights(path), path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises CheckpointError when it is damaged or missing."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as err:
        raise CheckpointError(f"{path}: cannot be read ({err}); copy the saved model again") from err


def load_state(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path, parts: Sequence[str] = ()) -> None:
    """Load weights that fit exactly, all of them or those of `parts`. Raises CheckpointError that lists every one that
    does not."""
    faults = weight_faults(model, state, parts)
    if faults:
        shown = faults[:SHOWN] + ([f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else [])
        raise CheckpointError(f"{path}: does not fit the model:\n" + "\n".join(f"  - {f}" for f in shown))
    model.load_state_dict(state, strict=not parts)


def weight_faults(model: nn.Module, state: Mapping[str, torch.Tensor], parts: Sequence[str] = ()) -> list[str]:
    """Every mismatch between a model, or the parts of it that are named, and weights, as lines: missing (-), unknown
    (+), other shape, not finite."""
    own = _of_parts(model.state_dict(), parts)
    faults = [f"- {name} is missing" for name in own if name not in state]
    faults += [f"+ {name} is not of the model" for name in state if name not in own]
    for name, tensor in state.items():
        if name in own and own[name].shape != tensor.shape:
            faults.append(f"{name} is {tuple(tensor.shape)}, the model's is {tuple(own[name].shape)}")
        elif tensor.is_floating_point() and not torch.isfinite(tensor).all():
            faults.append(f"{name} holds values that are not finite")
    return faults
