"""Pictures of simulated scenes: `python -m domains.remote_sensing.scenes.preview --seed 3 --out scene.png`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domains.remote_sensing.scenes.classes import COLOURS
from domains.remote_sensing.scenes.places import CLIMATES
from domains.remote_sensing.scenes.scene import SIZE, Scene, simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def true_colour(reflectance_CHW: NDArray) -> NDArray:
    """(H, W, 3) in [0, 1]: B04, B03, B02, reflectance 0.3 white; what is missing is black."""
    return np.nan_to_num(np.clip(reflectance_CHW[[3, 2, 1]].transpose(1, 2, 0) / 0.3, 0, 1)) ** (1 / 1.6)


def radar_colour(db_PHW: NDArray) -> NDArray:
    """(H, W, 3) in [0, 1]: VV, VH and their ratio as red, green and blue."""
    vv, vh = db_PHW
    planes = [(vv + 22) / 20, (vh + 28) / 20, (vv - vh) / 14]
    return np.nan_to_num(np.clip(np.stack(planes, axis=-1), 0, 1))


def class_colour(classes_HW: NDArray) -> NDArray:
    """(H, W, 3) in [0, 1] in Dynamic World's colours."""
    table = np.ones((256, 3))
    for value, rgb in COLOURS.items():
        table[value] = np.asarray(rgb) / 255
    return table[classes_HW]


def figure(scene: Scene, title: str) -> Figure:
    """One column per date: true colour, infrared, radar, true classes, noisy labels, captions."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(6, 4, figsize=(13, 18), height_ratios=[1, 1, 1, 1, 1, 0.8])
    for t in range(4):
        optical, facts = scene.reflectance_TCHW[t], scene.facts[t]
        infrared = np.nan_to_num(np.clip(optical[[7, 3, 2]].transpose(1, 2, 0) / [0.5, 0.3, 0.3], 0, 1))
        rows = [
            (true_colour(optical), f"{facts.season}, sun {scene.place.sun[t][0]:.0f}°"),
            (infrared, "infrared, red, green"),
            (radar_colour(scene.radar_TPHW[t]), "VV, VH, ratio"),
            (class_colour(scene.clean_THW[t]), "true classes"),
            (class_colour(scene.noisy_THW[t]), f"noisy: {(scene.noisy_THW[t] != scene.clean_THW[t]).mean():.0%} wrong"),
        ]
        for axis, (picture, name) in zip(axes[:5, t], rows, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(name, fontsize=8)
        told = [line for lines in scene.captions[t].values() for line in lines[:3]]
        text = "\n".join(textwrap.fill(line, 44) for line in told)
        axes[5, t].text(0, 1, text, fontsize=7, va="top", transform=axes[5, t].transAxes)
    for axis in axes.ravel():
        axis.axis("off")
    fig.suptitle(f"SIMULATED {title}: {scene.place.climate.name}, {scene.crs}")
    fig.tight_layout()
    return fig


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="PNG to write")
    parser.add_argument("--climate", default="", choices=["", *(c.name for c in CLIMATES)])
    parser.add_argument("--size", type=int, default=SIZE)
    args = parser.parse_args(argv)
    scene = simulate(args.seed, size=args.size, climate=args.climate)
    figure(scene, f"scene {args.seed}").savefig(args.out, dpi=70)


if __name__ == "__main__":
    main()
