"""What the command does: a fine-tuned run, its processors and its classes, handed to `map_scene`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from core.config.schema import TrainerSettings
from core.errors import ConfigError, nearest
from core.training.finetuned import Finetuned, load_finetuned
from core.training.precision import Compute, resolve
from core.types import ModalityInput
from domains.remote_sensing.predict.inputs import MapInput
from domains.remote_sensing.predict.progress import Told
from domains.remote_sensing.predict.result import SceneMap
from domains.remote_sensing.predict.scene import WindowModel, map_scene
from domains.remote_sensing.processors.raster import RasterProcessor
from domains.remote_sensing.scenes.classes import CLASSES, COLOURS

WINDOW, MARGIN = 256, 8


def run(arguments: argparse.Namespace) -> None:
    """Map the scene and say what came out. Raises ConfigError for a run that labels no pixels."""
    compute = resolve(TrainerSettings(accelerator=arguments.accelerator, threads=max(0, arguments.threads)))
    tuned = load_finetuned(arguments.model, device=compute.device)
    if not tuned.task.classes:
        raise ConfigError(
            f"--model {arguments.model}: its task, {type(tuned.task).__name__}, gives no class per pixel; give a run "
            "that was fine-tuned for segmentation into classes that exclude each other"
        )
    inputs = named(arguments.inputs, tuned)
    window = arguments.window or window_of(inputs)
    overlap = window // 4 if arguments.overlap < 0 else arguments.overlap
    margin = min(MARGIN, overlap // 2) if arguments.margin < 0 else arguments.margin
    colours = COLOURS if tuned.task.classes == CLASSES else None  # Dynamic World's own, for its own classes
    found = map_scene(
        as_window_model(tuned, compute), inputs, arguments.out, classes=tuned.task.classes, window=window,
        overlap=overlap, margin=margin, batch_size=arguments.batch_size, needs=arguments.needs, colours=colours,
        model_id=f"{tuned.fingerprint} {compute.precision}", device=compute.device, progress=Told(),
    )  # fmt: skip
    _show(found)


def as_window_model(tuned: Finetuned, compute: Compute) -> WindowModel:
    """A fine-tuned model as `map_scene` calls models. One of several modalities is told of each window which of them
    recorded anything there; a raster that is not given at all is a modality that every window lacks."""

    def model(inputs: dict[str, ModalityInput]) -> Tensor:
        with compute.autocast():
            logits: Tensor = tuned.model(*(present_rows(inputs) if tuned.task.several else inputs.values()))
            return logits

    return model


def present_rows(inputs: dict[str, ModalityInput]) -> tuple[dict[str, ModalityInput], dict[str, Tensor]]:
    """The windows in which each modality holds a valid pixel, and (V,) bool which these are."""
    present = {name: inp.extra["valid"].flatten(1).any(1) for name, inp in inputs.items()}
    there = {name: inp.rows(present[name]) for name, inp in inputs.items() if present[name].any()}
    return there, present


def named(words: Sequence[str], tuned: Finetuned) -> dict[str, MapInput]:
    """`NAME=PATH` words as inputs with their processors. Raises ConfigError for names that are not the model's."""
    out: dict[str, MapInput] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals and len(tuned.processors) == 1:
            name, path = next(iter(tuned.processors)), word
        elif not equals:
            raise ConfigError(f"--inputs {word}: the model reads {', '.join(tuned.processors)}; say which, NAME={word}")
        if name not in tuned.processors:
            raise ConfigError(f"--inputs {word}: the model reads no '{name}'{nearest(name, tuned.processors)}")
        if name in out:
            raise ConfigError(f"--inputs: '{name}' is given twice; a map is made of one raster of each modality")
        processor = tuned.processors[name]
        if not isinstance(processor, RasterProcessor):
            raise ConfigError(f"--model: its '{name}' is read by {type(processor).__name__}, which reads no rasters")
        out[name] = MapInput(Path(path), processor)
    return out


def window_of(inputs: dict[str, MapInput]) -> int:
    """The side of the tiles that training saw, where the processors say so."""
    sides = [p.crop or min(p.size or (WINDOW,)) for p in (given.processor for given in inputs.values())]
    return min(sides, default=WINDOW)


def _show(found: SceneMap) -> None:
    for area in found.areas:
        if area.pixels:
            size = "" if area.hectares is None else f"{area.hectares:14,.1f} ha"
            print(f"{area.name:<24}{size} {area.percent:6.1f}%")
    print(f"\nmap        {found.class_map}\nconfidence {found.confidence}\nquick-look {found.quick_look}", flush=True)
