"""The embedded default dataset: a simulated one, built on first use and read back by the layout of the real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from core.data.built import build_once, cache_root, simulating
from core.data.layout import Record, Source
from core.data.tables import label_matrix, read_table
from core.errors import ConfigError, nearest
from core.machine import cores
from domains.remote_sensing.data.ssl4eo import NoLDOS12, padded
from domains.remote_sensing.scenes.classes import CLASSES, VERSION
from domains.remote_sensing.scenes.indicators import INDICATORS

PLACES = {"train": 300, "val": 40, "test": 100}
SIZE = 96
FEW = 8  # starting processes takes as long as simulating so many


class SyntheticScenes(NoLDOS12):
    """Simulated Sentinel-1, Sentinel-2, labels and captions in the NoLDO-S12 layout. No satellite saw any of it.

    Modalities "s1", "s2" and "text" (captions, English and for part of the places German, one per line). Masks: those
    of NoLDO-S12, "clean" (the truth) and "cloud" (1 cloud, 2 shadow). Labels: 1 for each class that covers at least 5%.
    Quantities: simulated population, carbon and night light of the place (`scenes.indicators`).
    root: a dataset to read, or a folder to build it in; None = a folder of the cache (`HEPTAD_CACHE`) named after
    version, seed and sizes. places: number of places per split, each with four dates. seed: of the whole dataset; equal
    arguments give equal files. size: rows and columns at 10 m, a multiple of 6. dates: see SSL4EOS12. workers: how many
    processes build; 0 = this one, None = one per core. labels: "present" as above, or "main": 1 for the one class that
    covers most.
    """

    name: ClassVar[str] = "SyntheticScenes (simulated)"
    licence: ClassVar[str] = "CC0-1.0, generated"
    source: ClassVar[str] = "domains.remote_sensing.scenes, built on first use"
    simulated: ClassVar[bool] = True
    events: ClassVar[bool] = False
    label_names = CLASSES

    def __init__(
        self,
        *,
        split: str,
        root: Path | None = None,
        places: Mapping[str, int] | None = None,
        seed: int = 0,
        size: int = SIZE,
        dates: tuple[int, ...] = (0, 1, 2, 3),
        workers: int | None = None,
        labels: Literal["present", "main"] = "present",
    ) -> None:
        if labels not in ("present", "main"):
            raise ConfigError(f"labels: is '{labels}'; give present or main")
        counts = dict(PLACES if places is None else places)
        for name, count in counts.items():
            if name not in PLACES:
                raise ConfigError(f"places: no split '{name}'{nearest(name, PLACES)}")
            if count < 1:
                raise ConfigError(f"places: '{name}' is {count}; give at least 1")
        counts = {name: counts[name] for name in PLACES if name in counts}
        built = None if root is None else Path(root)
        if built is None or not (built / "scenes.csv").exists():
            built = build(counts, seed=seed, size=size, folder=built, workers=workers, events=self.events)
        scenes = read_table(built / "scenes.csv", ["id", "product", "split", "main", "when", *CLASSES])
        self._split_of = dict(zip(scenes["id"], scenes["split"]))
        self._when = dict(zip(scenes["id"], map(int, scenes["when"])))
        values_RL = label_matrix(scenes, CLASSES, built / "scenes.csv")
        if labels == "main":
            values_RL = np.array([[float(main == name) for name in CLASSES] for main in scenes["main"]])
        self.quantity_names = tuple(name for name in INDICATORS if name in scenes)  # not before version 1.1
        amounts_RQ = label_matrix(scenes, self.quantity_names, built / "scenes.csv")
        self._labels = {
            key: dict(zip((*CLASSES, *self.quantity_names), map(float, (*classes, *amounts))))
            for key, classes, amounts in zip(zip(scenes["id"], scenes["product"]), values_RL, amounts_RQ)
        }
        self._captions: dict[tuple[str, str], list[str]] = {}
        captions = read_table(built / "captions.csv", ["id", "product", "language", "caption"])
        for place, product, language, text in zip(*(captions[c] for c in ("id", "product", "language", "caption"))):
            self._captions.setdefault((place, product), []).append(f"{language}\t{text}")
        super().__init__(root=built, split=split, optical="s2a", dates=dates)

    def _assigned(self) -> dict[str, str]:
        return {padded(str(place)): str(split) for place, split in self._split_of.items()}

    def _completed(self, record: Record, place: str, product: str, optical: list[str]) -> Record:
        record = super()._completed(record, place, product, optical)
        key = (place, product)
        sources: dict[str, Source] = {**record.sources, "text": "\n".join(self._captions[key])}
        masks: dict[str, Source] = {
            **record.masks,
            "clean": self._label("clean_labels", place, product),
            "cloud": self._label("cloud_masks", place, product),
        }
        return Record(record.id, record.group, sources, self._labels[key], masks)


def build(
    places: Mapping[str, int],
    *,
    seed: int,
    size: int = SIZE,
    folder: Path | None = None,
    workers: int | None = None,
    events: bool = False,
) -> Path:
    """The folder that holds the simulated dataset with these sizes and seed; built if it is not there yet."""
    from domains.remote_sensing.scenes.write import write_dataset

    sizes = "-".join(f"{name}{count}" for name, count in places.items())
    version = f"{VERSION}-seed{seed}-{sizes}-{size}px" + ("-events" if events else "")
    target = cache_root() / "synthetic_scenes" / version if folder is None else folder
    about = {"name": SyntheticScenes.name, "simulated": True, "seed": seed, "places": dict(places), "size": size}
    processes = (cores() if sum(places.values()) > FEW else 0) if workers is None else workers

    def write(empty: Path) -> None:
        with simulating("satellite scenes", sum(places.values()), target) as tick:
            write_dataset(
                empty, places=dict(places), seed=seed, size=size, workers=processes, events=events, progress=tick
            )  # fmt: skip

    return build_once(target, write, version=version, about=about)
