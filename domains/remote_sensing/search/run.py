"""What the command does: the archive's vectors brought up to date, the queries encoded, the best rasters told."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config.schema import TrainerSettings
from core.data.built import cache_root
from core.errors import ConfigError, DataError, nearest
from core.files import sha256_of
from core.hub import ModalityEncoder, SavedModel, locate
from core.retrieval.archive import Archive, updated
from core.retrieval.search import search
from core.training.precision import resolve
from domains.remote_sensing.io.find import find_inputs
from domains.remote_sensing.processors.raster import RasterProcessor
from domains.remote_sensing.search.place import Filter, facts_of
from domains.remote_sensing.search.results import Result, show, write


def run(arguments: argparse.Namespace) -> None:
    """Search and say what was found. Raises ConfigError for a model or a filter that cannot do it."""
    if arguments.k < 1 or arguments.batch_size < 1:
        raise ConfigError(f"--k {arguments.k} and --batch_size {arguments.batch_size}: give at least 1")
    bounds = None if arguments.bbox is None else tuple(arguments.bbox)
    wanted = Filter(bounds, arguments.date_from, arguments.date_to)
    compute = resolve(TrainerSettings(accelerator=arguments.accelerator, threads=max(0, arguments.threads)))
    saved = SavedModel.from_pretrained(arguments.model, device=str(compute.device))
    readers = rasters_of(saved)
    text = text_of(saved, arguments.text)
    if arguments.modality and arguments.modality not in readers:
        raise ConfigError(
            f"--modality: the model reads {', '.join(readers)}, not '{arguments.modality}'"
            f"{nearest(arguments.modality, readers)}"
        )
    model = sha256_of(locate(arguments.model) / "model.safetensors")[:16]
    archive = brought_up_to_date(arguments, saved, readers, model)
    rows = [
        i
        for i, entry in enumerate(archive.entries)
        if wanted.passes(entry.about) and arguments.modality in ("", entry.modality)
    ]
    if not rows:
        raise DataError(f"none of the {len(archive.entries)} rasters of the archive passes the filters; widen them")
    partial = sum(not archive.entries[i].about["whole"] for i in rows)
    if partial:
        print(f"note: {partial} of {len(rows)} rasters are larger than what the model reads; it saw their middle alone")
    queries = [" ".join(query.split()) for query in arguments.query]
    if not all(queries):
        raise ConfigError("query: is empty; say in words what to look for")
    scores_QK, found_QK = search(saved.encoder(text).encode(queries), archive.vectors_NE[rows], k=arguments.k)
    results = [
        Result(query, rank, float(score), archive.entries[rows[int(at)]])
        for query, scores_K, found_K in zip(queries, scores_QK, found_QK, strict=True)
        for rank, (score, at) in enumerate(zip(scores_K, found_K, strict=True), start=1)
    ]
    show(results, pool=len(rows))
    if arguments.out is not None:
        write(results, arguments.out, readers, pool=len(rows))


def rasters_of(saved: SavedModel) -> dict[str, RasterProcessor]:
    """The modalities that read rasters from files of their own. Raises ConfigError when the model has none."""
    found = {m: p for m, p in saved.processors.items() if isinstance(p, RasterProcessor) and not p.of}
    if not found:
        raise ConfigError(f"--model: it reads {', '.join(saved.processors)}, none of which is a raster")
    return found


def text_of(saved: SavedModel, name: str) -> str:
    """The text modality that reads queries. Raises ConfigError when there is none, or not this one."""
    texts = [m for m, p in saved.processors.items() if p.modality_kind == "text"]
    if not texts:
        raise ConfigError("--model: it reads no text; give a run of a system with captions, such as closp")
    if name and name not in texts:
        raise ConfigError(f"--text: the model has no text modality '{name}'{nearest(name, texts)}")
    return name or next((m for m in texts if not saved.processors[m].of), texts[0])


def brought_up_to_date(
    arguments: argparse.Namespace, saved: SavedModel, readers: dict[str, RasterProcessor], model: str
) -> Archive:
    """The archive's vectors, from the index where it has them."""
    for path in arguments.archive:
        if not path.exists():
            raise DataError(f"--archive {path}: no such file or folder")
    files = [(path.absolute(), m) for path, m in find_inputs(arguments.archive)]
    readable = [(path, modality) for path, modality in files if modality in readers]
    if not readable:
        there = ", ".join(sorted({m for _, m in files})) or "no rasters"
        raise DataError(f"the archive holds {there}; the model reads {', '.join(readers)}")
    where = "\n".join(sorted(str(path.absolute()) for path in arguments.archive))
    key = hashlib.sha256(f"{model}\n{where}".encode()).hexdigest()[:24]
    index = arguments.index or cache_root() / "archives" / f"{key}.parquet"
    old = Archive.read(index) if index.is_file() else None
    encoders = {m: saved.encoder(m) for m in readers}

    def encode(modality: str, paths: Sequence[Path]) -> Iterator[tuple[Path, NDArray[np.float32], dict[str, Any]]]:
        return encoded(encoders[modality], readers[modality], paths)

    def tell(done: int, of: int) -> None:
        print(f"\rencoding {done}/{of}", end="" if done < of else "\n", file=sys.stderr, flush=True)

    archive = updated(old, readable, model=model, encode=encode, batch_size=arguments.batch_size, tell=tell)
    index.parent.mkdir(parents=True, exist_ok=True)
    archive.write(index)
    missing = len(readable) - len(archive.entries)
    left = f", {missing} could not be read" if missing else ""
    other = (
        f", {len(files) - len(readable)} are of sensors the model does not read" if len(files) > len(readable) else ""
    )
    print(f"archive: {len(archive.entries)} rasters{left}{other}\nindex   {index}")
    return archive


def encoded(
    encoder: ModalityEncoder, processor: RasterProcessor, paths: Sequence[Path]
) -> Iterator[tuple[Path, NDArray[np.float32], dict[str, Any]]]:
    """(path, vector, facts) of those that can be read; the others are named on stderr."""
    samples, kept = [], []
    for path in paths:
        try:
            samples.append(encoder.load(path))
            kept.append((path, facts_of(path, processor.stored, size=processor.size)))
        except DataError as fault:
            samples = samples[: len(kept)]
            print(f"\nleft out: {fault}", file=sys.stderr)
    if kept:
        for (path, facts), vector in zip(kept, encoder.encode_samples(samples), strict=True):
            yield path, vector, facts
