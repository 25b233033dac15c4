"""Picture of one simulated study: `python -m domains.medical.phantom.preview --seed 3 --out study.png`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domains.medical.phantom.labels import LABELS
from domains.medical.phantom.study import Study, simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LUNG_WINDOW, SOFT_WINDOW, BONE_WINDOW = (-600.0, 1500.0), (40.0, 400.0), (400.0, 1800.0)


def _window(hu: NDArray, window: tuple[float, float]) -> NDArray:
    centre, width = window
    return np.clip((hu - centre + width / 2) / width, 0, 1)


def _slices(study: Study) -> tuple[list[int], int, int]:
    """Three axial slices, one coronal and one sagittal position: through the lesions if there are any."""
    lesions = study.lesions
    if lesions.any():
        z = np.flatnonzero(lesions.any(axis=(0, 1)))
        axial = [int(np.quantile(z, q)) for q in (0.85, 0.5, 0.15)]
        return axial, int(np.median(np.nonzero(lesions)[1])), int(np.median(np.nonzero(lesions)[0]))
    nx, ny, nz = lesions.shape
    return [int(0.75 * nz), int(0.5 * nz), int(0.33 * nz)], ny // 2, nx // 3


def figure(study: Study, title: str, axial: Sequence[int] = ()) -> Figure:
    """Axial slices in lung and soft-tissue windows, coronal, sagittal, radiograph, report. Radiological display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    at, coronal, sagittal = _slices(study)
    at = list(axial) or at
    dx, dy, dz = study.spacing
    fig, axes = plt.subplots(3, 4, figsize=(17, 13), facecolor="black")
    hu = study.ct

    def show(axis: Any, image: NDArray, aspect: float, label: str, mask: NDArray | None = None) -> None:
        axis.imshow(image, cmap="gray", aspect=aspect, vmin=0, vmax=1, interpolation="bilinear")
        if mask is not None and mask.any():
            axis.contour(mask, levels=[0.5], colors="orange", linewidths=0.7)
        axis.set_title(label, color="white", fontsize=9)

    for row, z in enumerate(at[:3]):
        plane = hu[::-1, ::-1, z].T  # row 0 is the front, column 0 the patient's right
        mask = (study.lesions[::-1, ::-1, z].T > 0).astype(float)
        show(axes[row, 0], _window(plane, LUNG_WINDOW), dy / dx, f"axial {z}, lung")
        show(axes[row, 1], _window(plane, SOFT_WINDOW), dy / dx, f"axial {z}, soft tissue", mask)
    front = hu[::-1, coronal, ::-1].T
    show(axes[0, 2], _window(front, LUNG_WINDOW), dz / dx, f"coronal {coronal}")
    profile = hu[sagittal, ::-1, ::-1].T
    show(axes[1, 2], _window(profile, LUNG_WINDOW), dz / dy, f"sagittal {sagittal}")
    mip = hu[:, :, :].max(axis=1)[::-1, ::-1].T
    show(axes[2, 2], _window(mip, BONE_WINDOW), dz / dx, "coronal maximum, bone")
    radiograph = axes[0, 3]
    radiograph.imshow(study.radiograph, cmap="gray")
    radiograph.set_title("radiograph (simulated)", color="white", fontsize=9)
    facts = "; ".join(
        f"{f.label} {f.side} {f.lobe} {f.size_mm:.0f} mm {f.severity} {f.detail}".replace("  ", " ")
        for f in study.findings
    )
    wrapped = "\n".join(
        textwrap.fill(p, 62) for p in [*study.report.text.split("\n"), "", "FACTS: " + (facts or "none")]
    )
    axes[1, 3].text(0, 1, wrapped, color="white", fontsize=7.4, va="top", transform=axes[1, 3].transAxes)
    for axis in axes.ravel():
        axis.axis("off")
    body = study.body
    fig.suptitle(f"SIMULATED {title}: {body.sex}, {body.age} y, fat {body.fat_mm:.0f} mm", color="white")
    fig.tight_layout()
    return fig


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="PNG to write")
    parser.add_argument("--finding", action="append", choices=LABELS, help="force a finding (repeatable)")
    parser.add_argument("--normal", action="store_true", help="force a patient without findings")
    parser.add_argument("--axial", type=int, nargs=3, default=(), help="three slice numbers")
    args = parser.parse_args(argv)
    forced = () if args.normal else tuple(args.finding) if args.finding else None
    study = simulate(args.seed, findings=forced)
    figure(study, f"study {args.seed}", args.axial).savefig(args.out, dpi=80)


if __name__ == "__main__":
    main()
