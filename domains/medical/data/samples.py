"""The embedded default dataset: a simulated one, built on first use and read back by the layout of the real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from core.data.built import build_once, cache_root, simulating
from core.errors import ConfigError, nearest
from core.machine import cores
from domains.medical.data.ct_rate import CTRate

STUDIES = {"train": 1200, "val": 100, "test": 200}
FEW = 8  # starting processes takes as long as simulating so many


class ThoraxPhantom(CTRate):
    """Simulated chest CT, radiograph, report, labels and masks in the CT-RATE layout. No patient is behind it.

    root: a phantom dataset to read, or a folder to build it in; None = a folder of the cache (`HEPTAD_CACHE`) named
    after version, seed and sizes. studies: number of studies per split (train, val, test). seed: of the whole dataset;
    equal arguments give equal files. workers: processes that build; 0 = this one, None = one per core.
    """

    name: ClassVar[str] = "ThoraxPhantom (simulated)"
    licence: ClassVar[str] = "CC0-1.0, generated"
    source: ClassVar[str] = "domains.medical.phantom, built on first use"
    simulated: ClassVar[bool] = True
    v2_suffix: ClassVar[str] = ""

    def __init__(
        self,
        *,
        split: str,
        root: Path | None = None,
        studies: Mapping[str, int] | None = None,
        seed: int = 0,
        workers: int | None = None,
    ) -> None:
        counts = dict(STUDIES if studies is None else studies)
        for name, count in counts.items():
            if name not in STUDIES:
                raise ConfigError(f"studies: no split '{name}'{nearest(name, STUDIES)}")
            if count < 1:
                raise ConfigError(f"studies: '{name}' is {count}; give at least 1")
        counts = {name: counts[name] for name in STUDIES if name in counts}
        built = None if root is None else Path(root)
        if built is None or not (built / "splits.csv").exists():
            built = build(counts, seed=seed, folder=built, workers=workers)
        super().__init__(root=built, split=split, version="v2")


def build(studies: Mapping[str, int], *, seed: int, folder: Path | None = None, workers: int | None = None) -> Path:
    """The folder that holds the phantom dataset with these sizes and seed; built if it is not there yet."""
    from domains.medical.phantom import write_dataset
    from domains.medical.phantom.labels import VERSION

    sizes = "-".join(f"{name}{count}" for name, count in studies.items())
    version = f"{VERSION}-seed{seed}-{sizes}"
    target = cache_root() / "thorax_phantom" / version if folder is None else folder
    about = {"name": ThoraxPhantom.name, "simulated": True, "seed": seed, "studies": dict(studies)}

    processes = (cores() if sum(studies.values()) > FEW else 0) if workers is None else workers

    def write(empty: Path) -> None:
        with simulating("chest CT studies", sum(studies.values()), target) as tick:
            write_dataset(empty, studies=dict(studies), seed=seed, workers=processes, progress=tick)

    return build_once(target, write, version=version, about=about)
