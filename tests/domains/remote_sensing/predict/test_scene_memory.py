"""What mapping holds does not grow with the height of the scene. Each measurement is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys, tracemalloc
import numpy as np, torch
torch.set_num_threads(1)
from domains.remote_sensing.predict import MapInput, map_scene
from domains.remote_sensing.processors import OpticalProcessor
model = torch.nn.Conv2d(4, 3, 1)
processor = OpticalProcessor(sensor="sentinel2_10m", normalise="range")
tracemalloc.start()  # counts what numpy holds: rows, sums, strips
found = map_scene(lambda given: model(given["s2"].x), {"s2": MapInput(sys.argv[1], processor)}, sys.argv[2],
                  classes=["a", "b", "c"], window=128, overlap=32, margin=4, model_id="m")
print(json.dumps(tracemalloc.get_traced_memory()[1]))
"""


def write(path, rows, columns):
    """Blocks of equal values: quick to write, and as large in memory as any."""
    import numpy as np
    import rasterio

    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=columns, count=4, dtype="uint16", nodata=0, tiled=True,
        blockxsize=512, blockysize=512, compress="DEFLATE", crs="EPSG:32633",
        transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5.4e6),
    ) as file:  # fmt: skip
        for top in range(0, rows, 512):
            count = min(512, rows - top)
            file.write(np.full((4, count, columns), 1000 + top, np.uint16), window=((top, top + count), (0, columns)))


def test_a_scene_of_twice_the_height_takes_no_more_memory(tmp_path):
    peaks, columns = [], 768
    for rows in (1536, 3072):
        write(tmp_path / f"{rows}.tif", rows, columns)
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / f"{rows}.tif"), str(tmp_path / f"map{rows}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout.splitlines()[-1]))
    low, high = peaks
    assert high < 1.1 * low
