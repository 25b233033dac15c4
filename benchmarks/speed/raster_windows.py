"""Random windows of 256 x 256 x 12 per second from tiled, compressed GeoTIFF, beside torchgeo's raster dataset.

Simulated Sentinel-2 tiles (spectra, speckled texture and clouds of SyntheticScenes, uint16, 512 x 512 blocks, DEFLATE
with predictor 2, bands interleaved by pixel as GDAL does). Both sides draw window positions uniformly and give batches
of float32 through the same loader with as many processes; this suite's also carry units, validity and place. Each
measurement is a fresh process that reads some batches first; sides take turns, so that a busy machine slows both.
Equality is checked on windows of this suite that torchgeo is asked for too. How alike the windows of a batch are is
measured as well, against windows in random order: locality is where the speed comes from.

    python -m benchmarks speed --suite raster_windows --workers 0 2
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed._process import MIB, in_fresh_process, peak

MODULE = "benchmarks.speed.raster_windows"
SIDES = ("heptad", "torchgeo")
WINDOW, BLOCK, PIXEL = 256, 512, 10.0
GOAL = 1.5
EQUAL = 1e-6  # reflectance; both compute in float32


def write_files(folder: Path, files: int, side: int) -> None:
    """Tiles that do not overlap; their content is the same, which no reader can know."""
    import rasterio
    from rasterio.transform import Affine

    from domains.remote_sensing.scenes import simulate

    scene = simulate(3, size=516).reflectance_TCHW[..., :BLOCK, :BLOCK]
    counts_TCHW = np.where(np.isfinite(scene), np.clip(np.rint(scene * 10_000), 1, 65_535), 0).astype(np.uint16)
    rng, first = np.random.default_rng(0), folder / "tile-0.tif"
    with rasterio.open(
        first, "w", driver="GTiff", height=side, width=side, count=12, dtype="uint16", nodata=0, tiled=True,
        blockxsize=BLOCK, blockysize=BLOCK, compress="DEFLATE", predictor=2, interleave="pixel", crs="EPSG:32633",
        transform=_transform(0, side),
    ) as file:  # fmt: skip
        for top in range(0, side, BLOCK):
            for left in range(0, side, BLOCK):
                tile = np.rot90(counts_TCHW[int(rng.integers(4))], int(rng.integers(4)), (1, 2))
                rows, columns = min(BLOCK, side - top), min(BLOCK, side - left)
                file.write(tile[:, :rows, :columns], window=((top, top + rows), (left, left + columns)))
    for i in range(1, files):
        path = folder / f"tile-{i}.tif"
        shutil.copy(first, path)
        with rasterio.open(path, "r+") as file:
            file.transform = Affine(*_transform(i, side))
    lines = "".join(f"tile-{i}.tif,train\n" for i in range(files))
    (folder / "data.csv").write_text("s2,split\n" + lines, encoding="utf-8")


def _transform(i: int, side: int) -> Any:
    from rasterio.transform import Affine

    step = (side + BLOCK) * PIXEL
    return Affine(PIXEL, 0, 200_000 + i % 8 * step, 0, -PIXEL, 5_400_000 - i // 8 * step)


def draws(folder: Path, batch: int, total: int) -> Any:
    """This suite's training data of the folder: processors, and the dataset and sampler of its layout."""
    from core.data.layout import TrainingPlan
    from domains.remote_sensing.data.raster_windows import RasterWindows
    from domains.remote_sensing.processors import OpticalProcessor

    processors = {"s2": OpticalProcessor(normalise="none")}
    layout = RasterWindows(root=folder, split="train", window=WINDOW, listed=1)
    return processors, layout.draws(processors, TrainingPlan(batch, total, 0, 0, False))


def peer(folder: Path) -> Any:
    """torchgeo's dataset of the same files."""
    from torchgeo.datasets import RasterDataset

    return RasterDataset(paths=[str(path) for path in sorted(folder.glob("*.tif"))])


def loader(side: str, folder: Path, batch: int, batches: int, workers: int) -> Any:
    import torch
    from torch.utils.data import DataLoader

    common: dict[str, Any] = {"num_workers": workers, "multiprocessing_context": "spawn" if workers else None}
    if side == "torchgeo":
        from torchgeo.datasets import stack_samples
        from torchgeo.samplers import RandomGeoSampler

        dataset = peer(folder)
        generator = torch.Generator().manual_seed(0)
        sampler = RandomGeoSampler(dataset, size=WINDOW, length=batch * batches, generator=generator)
        return DataLoader(dataset, batch_size=batch, sampler=sampler, collate_fn=stack_samples, **common)
    from core.data.collate import Collate

    processors, drawn = draws(folder, batch, batches)
    return DataLoader(drawn.dataset, batch_sampler=drawn.sampler, collate_fn=Collate(processors, []), **common)


def measure(side: str, folder: Path, batch: int, warm: int, batches: int, workers: int) -> dict[str, float]:
    """Windows per second of wall time, and per second of processor time of all processes."""
    import torch

    torch.set_num_threads(1)
    used, start, bytes_ = 0.0, 0.0, 0
    for i, found in enumerate(loader(side, folder, batch, warm + batches, workers)):
        x = found["image"] if side == "torchgeo" else found.inputs["s2"].x
        assert x.shape == (batch, 12, WINDOW, WINDOW)
        assert x.dtype == torch.float32
        if i == warm - 1:
            used, start = _cpu_seconds(), time.perf_counter()
        if i == warm + batches - 1:  # while the processes still live
            used, seconds = _cpu_seconds() - used, time.perf_counter() - start
            bytes_ = peak()
    return {
        "per_second": batch * batches / seconds, "per_cpu_second": batch * batches / used, "peak_mib": bytes_ / MIB
    }  # fmt: skip


def _cpu_seconds() -> float:
    import psutil

    me = psutil.Process()
    times = [p.cpu_times() for p in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def agreement(folder: Path, windows: int) -> dict[str, float]:
    """Largest difference in reflectance between this suite's windows and torchgeo's of the same places, and mixing."""
    import rasterio

    from core.data.collate import Collate
    from domains.remote_sensing.windows.plan import Drawn, WindowPlan, mixing

    batch = 32
    processors, drawn = draws(folder, batch, 200)
    dataset, worst = peer(folder), 0.0
    items = [item for items, _ in zip(drawn.sampler, range(-(-windows // batch))) for item in items][:windows]
    for item in items:
        ours = Collate(processors, [])([drawn.dataset[item]]).inputs["s2"].x[0].numpy()
        with rasterio.open(folder / f"tile-{item.raster}.tif") as file:
            west, north = file.transform * (item.left, item.top)
        extent = WINDOW * PIXEL
        theirs = dataset[west : west + extent, north - extent : north]["image"].numpy() * np.float32(1e-4)
        worst = max(worst, float(np.abs(ours - theirs).max()))
    plan: WindowPlan = drawn.sampler.plan
    local = mixing(list(drawn.sampler)[: drawn.sampler.steps_per_epoch], side=WINDOW, block=BLOCK, streams=plan.streams)
    everything = plan.epoch(0).reshape(-1, 4)
    shuffled = np.random.default_rng(0).permutation(everything)
    random = [[Drawn(0, *map(int, row)) for row in shuffled[i : i + batch]] for i in range(0, len(shuffled), batch)]
    free = mixing(random[:-1], side=WINDOW, block=BLOCK, streams=plan.streams)
    names = ("rasters", "strips", "shared", "again")
    numbers = {f"{how}_{n}": getattr(m, n) for how, m in (("local", local), ("random", free)) for n in names}
    return {"largest_difference": worst, "windows": float(len(items)), **numbers}


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=8, help="rasters (default 8)")
    parser.add_argument("--side", type=int, default=4096, help="their rows and columns (default 4096)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="loader processes (default 0 2)")
    parser.add_argument("--batch", type=int, default=32, help="windows of a batch (default 32)")
    parser.add_argument("--warm", type=int, default=4, help="batches before the clock starts (default 4)")
    parser.add_argument("--batches", type=int, default=16, help="batches that are timed (default 16)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each side (default 3)")
    parser.add_argument("--gdal-cache-mb", type=int, default=0, help="GDAL's block cache of each process (0: its own)")
    parser.add_argument("--scratch", type=Path, help="folder with room for 0.4 GB per file (default: the system's)")
    parser.add_argument("--folder", type=Path, help="tiles of an earlier run; written there when it holds none")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/speed-raster-windows.json"), help="JSON file")
    parser.add_argument("--measure", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--agreement", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.folder, args.batch, args.warm, args.batches, args.workers[0])))
        return
    if args.agreement:
        print(json.dumps(agreement(args.folder, args.agreement)))
        return
    if args.gdal_cache_mb:
        os.environ["GDAL_CACHEMAX"] = str(args.gdal_cache_mb)
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = args.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "data.csv").exists():
            print("writing tiles", file=sys.stderr, flush=True)
            write_files(folder, args.files, args.side)
        result = compare(folder, args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    show(result)
    print(f"written to {args.out}")
    if result["equality"]["largest_difference"] > EQUAL or any(row["ratio"] < GOAL for row in result["rows"]):
        raise SystemExit(1)


def compare(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Both sides in turn, for each number of processes."""
    equality = in_fresh_process(MODULE, ["--folder", str(folder), "--agreement", "48"], 1)
    rows = []
    for workers in args.workers:
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        numbers = [f"--{n}={getattr(args, n)}" for n in ("batch", "warm", "batches")]
        for i in range(args.repeats):
            for side in SIDES if i % 2 == 0 else SIDES[::-1]:
                arguments = ["--measure", side, "--folder", str(folder), "--workers", str(workers), *numbers]
                found[side].append(in_fresh_process(MODULE, arguments, 1))
                print(f"{workers} processes, {side}: {found[side][-1]['per_second']:.1f} windows/s", file=sys.stderr,
                      flush=True)  # fmt: skip
        ours, theirs = ([f["per_second"] for f in found[side]] for side in SIDES)
        paired = [a / b for a, b in zip(ours, theirs, strict=True)]
        on_cpu = [a["per_cpu_second"] / b["per_cpu_second"] for a, b in zip(*found.values(), strict=True)]
        rows.append({"workers": workers, "found": found, "ratio": statistics.median(paired), "ratios": paired,
                     "cpu_ratios": on_cpu})  # fmt: skip
    import torchgeo

    return {
        "simulated": True, "files": len(list(folder.glob("*.tif"))), "side": args.side, "window": WINDOW,
        "batch": args.batch, "timed_windows": args.batch * args.batches, "torchgeo": torchgeo.__version__,
        "gdal_cache_mb": args.gdal_cache_mb or "GDAL's default",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "equality": equality, "rows": rows,
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    for row in result["rows"]:
        sides = (
            f"{side} {statistics.median(f['per_second'] for f in row['found'][side]):.1f}/s "
            f"({statistics.median(f['per_cpu_second'] for f in row['found'][side]):.1f} per CPU s)"
            for side in SIDES
        )
        spread = ", ".join(f"{ratio:.2f}" for ratio in row["ratios"])
        cpu = ", ".join(f"{ratio:.2f}" for ratio in row["cpu_ratios"])
        print(f"{row['workers']} processes: {', '.join(sides)}; ratio {row['ratio']:.2f} ({spread}; of CPU time {cpu})")
    e = result["equality"]
    print(f"largest difference over {e['windows']:.0f} windows: {e['largest_difference']:.1e} (reflectance)")
    for how, what in (("local", "batches of this order"), ("random", "batches in random order")):
        print(
            f"{what}: {e[how + '_rasters']:.1f} rasters and {e[how + '_strips']:.1f} strips in each, two windows share "
            f"{e[how + '_shared']:.2%} of their area, {e[how + '_again']:.0%} of strips were in the batch before"
        )


if __name__ == "__main__":
    main()
