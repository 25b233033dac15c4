"""`embed`: files to a Parquet table of vectors, in batches; memory grows with the batch, not with the folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.config.schema import EmbedConfig
from core.data.bad_records import BadRecords
from core.data.layout import Record
from core.errors import ConfigError, DataError
from core.files import atomic_write
from core.hub import ModalityEncoder, SavedModel
from core.training import setup
from core.training.cli import Request, domain_info
from core.training.precision import resolve
from core.training.pretrain import say
from core.training.run_folder import RunFolder, newest_run


def run(request: Request) -> None:
    """Run the request to its end; raises a HeptadError for what the user can mend."""
    config = setup.check(request, EmbedConfig)
    compute = resolve(config.trainer)
    path = config.model or newest_run(request.domain)
    if path is None:
        raise ConfigError(f"no pretrained run under runs/{request.domain}; give a run or saved model with --model DIR")
    saved = SavedModel.from_pretrained(path, device=str(compute.device))
    folder = RunFolder.of(request, config.run_dir)
    folder.write_config({**request.tree, "model": str(path)}, request.system)
    domain = importlib.import_module(domain_info(request.domain)["inputs"])
    inputs = list(config.inputs) or sample_files(request.domain)
    found = list(domain.find_inputs(inputs))
    if not found:
        raise DataError(f"no readable kind of file under {', '.join(str(p) for p in inputs)}")
    known = {m for m, p in saved.processors.items() if p.modality_kind != "text"}
    chosen = [(f, config.modality or m) for f, m in found]
    if not known & {m for _, m in chosen}:
        shown = ", ".join(sorted({m for _, m in chosen}))
        raise ConfigError(f"modality: the model at {path} reads {', '.join(sorted(known))}, the inputs are {shown}")
    out = config.out or folder.path / "embeddings.parquet"
    bad = BadRecords(  # paths are kept: the table of vectors has them too
        policy=config.on_bad_record, out_csv=folder.path / "bad_records.csv", max_share=1.0, keep_paths=True
    )
    say(f"{request.domain} embed: {len(found)} inputs with {path}  ({compute})")
    count = write_table(out, rows(saved, chosen, config.batch_size, bad), total=len(chosen))
    skipped = f", {bad.bad} skipped (see {folder.path / 'bad_records.csv'})" if bad.bad else ""
    print(f"\n{count} vectors of {saved.model.dim} numbers{skipped}\ntable   {out}", flush=True)


def sample_files(domain: str) -> list[Path]:
    """Some files of the embedded sample data; its folder where records are rows of a table."""
    layout = setup.layout_class(domain, "")(split="test")  # type: ignore[call-arg]
    records = [layout.record(i) for i in range(min(16, len(layout)))]
    return [s for r in records for s in r.sources.values() if isinstance(s, Path)] or [layout.root]


def rows(
    saved: SavedModel, inputs: Iterable[tuple[Path, str]], batch_size: int, bad: BadRecords
) -> Iterator[list[dict[str, Any]]]:
    """Batches of table rows; consecutive inputs of one modality are encoded together."""
    readable = {m for m, p in saved.processors.items() if p.modality_kind != "text"}
    encoders: dict[str, ModalityEncoder] = {}
    waiting: list[tuple[Path, dict[str, np.ndarray]]] = []
    current = ""

    def flush() -> list[dict[str, Any]]:
        vectors = encoders[current].encode_samples([sample for _, sample in waiting])
        made = [{"file": str(f), "modality": current, "vector": v} for (f, _), v in zip(waiting, vectors)]
        waiting.clear()
        return made

    for file, modality in inputs:
        if waiting and (modality != current or len(waiting) == batch_size):
            yield flush()
        current = modality
        try:
            if modality not in readable:
                raise DataError(f"{file}: is of modality '{modality}', which the model does not read")
            encoder = encoders.setdefault(modality, saved.encoder(modality))
            waiting.append((file, encoder.load(file)))
            bad.good()
        except DataError as fault:
            bad.report(Record(id=str(file), group=str(file), sources={modality: file}), fault)
    if waiting:
        yield flush()


def write_table(out: Path, batches: Iterator[list[dict[str, Any]]], *, total: int) -> int:
    """Stream rows into a Parquet file (columns file, modality, vector as a fixed-size list); how many were written.

    Raises DataError, and writes nothing, when there is no row at all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    with atomic_write(out) as partial:
        writer = None
        for batch in batches:
            width = len(batch[0]["vector"])
            vectors = pa.FixedSizeListArray.from_arrays(np.concatenate([row["vector"] for row in batch]), width)
            columns = {name: pa.array([row[name] for row in batch]) for name in ("file", "modality")}
            table = pa.table({**columns, "vector": vectors})
            writer = writer or pq.ParquetWriter(partial, table.schema)
            writer.write_table(table)
            count += len(batch)
            if sys.stderr.isatty():
                print(f"\r{count}/{total}", end="", file=sys.stderr, flush=True)
        if writer is None:
            raise DataError(f"none of the {total} inputs could be read; see bad_records.csv in the run folder")
        writer.close()
    return count
