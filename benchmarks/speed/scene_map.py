"""Time and peak memory of mapping a whole simulated Sentinel-2 scene, 10,980 x 10,980 x 12, in a process of its own.

The scene (simulated: smooth fields with noise, a wedge without data) is written first, by another process, as tiled and
compressed uint16. Memory is the peak above what the process holds once it has its libraries and the model, and has
computed one batch. What came out is checked: grid, validity pixel for pixel, areas. A small convolutional network
stands for the model: the time of a large one is its own.

    python -m benchmarks speed --suite scene_map --side 10980
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed._process import MIB, in_fresh_process, peak, resident

MODULE = "benchmarks.speed.scene_map"
BLOCK, PERIOD = 512, 1024  # pixels: of the file's blocks; after which the simulated ground repeats
CRS, TRANSFORM = "EPSG:32633", (10.0, 0.0, 399_960.0, 0.0, -10.0, 5_400_000.0)
CLASSES = tuple(f"class {i}" for i in range(9))
LIMIT_MIB = 2048


def wedge(side: int, rows: np.ndarray) -> np.ndarray:
    """(rows, side) bool: True where the scene was recorded; a wedge on the left is beyond the swath."""
    return np.arange(side)[None] >= (side // 4 - rows // 4)[:, None]


def write_scene(path: Path, side: int) -> None:
    """A simulated Level-2A scene of 12 bands as counts."""
    import rasterio
    from rasterio.transform import Affine

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:PERIOD, :PERIOD] * (2 * np.pi / PERIOD)
    ground = [1500 + 1000 * np.sin((1 + i % 3) * x + i) * np.cos((1 + i % 4) * y) for i in range(12)]
    pattern = (np.stack(ground) + rng.normal(0, 30, (12, PERIOD, PERIOD))).clip(1).astype(np.uint16)
    with rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, count=12, dtype="uint16", nodata=0, tiled=True,
        blockxsize=BLOCK, blockysize=BLOCK, compress="DEFLATE", zlevel=1, predictor=2, bigtiff="IF_SAFER",
        crs=CRS, transform=Affine(*TRANSFORM),
    ) as file:  # fmt: skip
        for top in range(0, side, BLOCK):
            rows = np.arange(top, min(top + BLOCK, side))
            known = wedge(side, rows)
            strip = np.take(pattern[:, rows % PERIOD], np.arange(side) % PERIOD, axis=2)
            file.write(strip * known, window=((top, rows[-1] + 1), (0, side)))


def small_network() -> Any:
    """Three convolutions, 5,700 weights."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [nn.Conv2d(12, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 9, 3, 1, 1)]
    return nn.Sequential(*layers).eval()


def measure(scene: Path, out: Path, window: int, overlap: int, batch: int, threads: int) -> dict[str, float]:
    """Map the scene in this process, which must be fresh."""
    import torch

    from core.config.schema import TrainerSettings
    from core.training.precision import resolve
    from domains.remote_sensing.predict import MapInput, map_scene
    from domains.remote_sensing.predict.progress import Told
    from domains.remote_sensing.processors import OpticalProcessor

    resolve(TrainerSettings(threads=threads, precision="32", accelerator="cpu"))  # as the command does
    network = small_network()
    with torch.inference_mode():  # thread pools load, and the network's own memory is there
        network(torch.zeros(batch, 12, window, window))
    before, start, cpu = resident(), time.perf_counter(), time.process_time()
    processor = OpticalProcessor(sensor="sentinel2_l2a", normalise="range", high=0.4)
    found = map_scene(
        lambda inputs: network(inputs["s2"].x), {"s2": MapInput(scene, processor)}, out, classes=CLASSES,
        window=window, overlap=overlap, batch_size=batch, model_id="small", progress=Told(),
    )  # fmt: skip
    seconds, cpu_seconds, highest = time.perf_counter() - start, time.process_time() - cpu, peak()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": (highest - before) / MIB,
        "process_peak_mib": highest / MIB,
        "hectares": sum(area.hectares or 0.0 for area in found.areas),
        "wrong_pixels": float(wrong_pixels(found.class_map)),
    }


def wrong_pixels(path: Path) -> int:
    """Pixels whose validity is not that of the scene. Raises SystemExit when the grid is not the scene's."""
    import rasterio

    wrong = 0
    with rasterio.open(path) as file:
        if file.crs.to_string() != CRS or tuple(file.transform[:6]) != TRANSFORM:
            raise SystemExit(f"{path}: lies at {file.transform} in {file.crs}, expected {TRANSFORM} in {CRS}")
        for top in range(0, file.height, BLOCK):
            bottom = min(top + BLOCK, file.height)
            known = file.read(1, window=((top, bottom), (0, file.width))) != file.nodata
            wrong += int((known != wedge(file.width, np.arange(top, bottom))).sum())
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--side", type=int, default=10_980, help="rows and columns (default 10980)")
    parser.add_argument("--window", type=int, default=256, help="pixels (default 256)")
    parser.add_argument("--overlap", type=int, default=64, help="pixels (default 64)")
    parser.add_argument("--batch", type=int, default=8, help="windows computed together (default 8)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads (default: all)")
    parser.add_argument("--scratch", type=Path, help="folder with room for 3 GB (default: the system's)")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/speed-scene-map.json"), help="JSON file")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write is not None:
        write_scene(args.write, args.side)
        print(json.dumps({}))
        return
    if args.measure is not None:
        print(json.dumps(measure(*args.measure, args.window, args.overlap, args.batch, args.threads)))
        return
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        scene = Path(scratch) / "scene.tif"
        start = time.perf_counter()
        in_fresh_process(MODULE, ["--write", str(scene), "--side", str(args.side)], args.threads)
        print(f"scene written in {time.perf_counter() - start:.0f} s, {scene.stat().st_size / MIB:.0f} MiB",
              file=sys.stderr, flush=True)  # fmt: skip
        numbers = ["window", "overlap", "batch", "threads"]
        words = [word for name in numbers for word in (f"--{name}", str(getattr(args, name)))]
        found = in_fresh_process(MODULE, ["--measure", str(scene), str(Path(scratch) / "map"), *words], args.threads)
    result = {
        "simulated": True, "side": args.side, "bands": 12, "classes": len(CLASSES),
        **{name: getattr(args, name) for name in numbers},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores", **found,
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(
        f"{args.side} x {args.side} x 12: {found['seconds']:.0f} s ({found['cpu_seconds']:.0f} s of processor), "
        f"{found['peak_mib']:.0f} MiB beyond the model (limit {LIMIT_MIB}), {found['process_peak_mib']:.0f} MiB in all,"
        f" {found['wrong_pixels']:.0f} pixels of wrong validity"
    )
    print(f"written to {args.out}")
    if found["peak_mib"] > LIMIT_MIB or found["wrong_pixels"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
