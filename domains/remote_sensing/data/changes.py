"""Pairs of dates of simulated places at which land cover may have changed for good in between."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from core.data.layout import Record, Source
from core.errors import ConfigError
from domains.remote_sensing.data.samples import SIZE, SyntheticScenes

PLACES = {"train": 150, "val": 20, "test": 80}


class SyntheticChanges(SyntheticScenes):
    """SyntheticScenes with events (`domains.remote_sensing.scenes.events`): woods felled, land built up, a valley
    flooded for good. No satellite saw any of it.

    A record is one place on two dates: modalities "s1" and "s2" of the later one, "s1_before" and "s2_before" of the
    earlier one. Mask "change": 1 where land cover is another one for good; snow, floods, harvest and leaves, which
    differ between the dates as well, are none. pairs: (earlier, later) of the four dates. Other arguments as in
    `SyntheticScenes`; places default to fewer.
    """

    name: ClassVar[str] = "SyntheticChanges (simulated)"
    source: ClassVar[str] = "domains.remote_sensing.scenes with events, built on first use"
    events: ClassVar[bool] = True
    label_names = ()

    def __init__(
        self,
        *,
        split: str,
        root: Path | None = None,
        places: Mapping[str, int] | None = None,
        seed: int = 0,
        size: int = SIZE,
        pairs: tuple[tuple[int, int], ...] = ((0, 2), (1, 3)),
        workers: int | None = None,
    ) -> None:
        self.pairs = tuple((int(a), int(b)) for a, b in pairs)
        if not self.pairs or not all(0 <= a < b <= 3 for a, b in self.pairs):
            raise ConfigError(f"pairs: is {pairs}; give (earlier, later) of the dates 0 to 3")
        super().__init__(
            split=split, root=root, places=PLACES if places is None else places, seed=seed, size=size, workers=workers
        )

    def __len__(self) -> int:
        return len(self._ids) * len(self.pairs)

    def record(self, index: int) -> Record:
        place, (first, last) = index // len(self.pairs), self.pairs[index % len(self.pairs)]
        earlier, later = (super(SyntheticChanges, self).record(4 * place + date) for date in (first, last))
        sources: dict[str, Source] = {name: later.sources[name] for name in ("s1", "s2") if name in later.sources}
        sources |= {f"{name}_before": earlier.sources[name] for name in ("s1", "s2") if name in earlier.sources}
        name = self._ids[place]
        products = self._optical_products(name)
        when = self._when[name] if name in self._when else self._when[str(int(name))]
        shown = last if first < when <= last else 0  # nothing has changed yet on the first date
        masks: dict[str, Source] = {"change": self._label("change_masks", name, products[shown])}
        return Record(f"{name}/{first}-{last}", name, sources, {}, masks)
