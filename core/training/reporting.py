"""Turns a run's figures into what people read: the last lines on screen, report.html and the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.training.cli import Request
from core.training.run_folder import RunFolder


def headline(summary: dict[str, Any]) -> list[str]:
    """The figures that say whether a run went well, one line each, beside what chance or a baseline gives."""
    lines = []

    def add(label: str, name: str, beside: str = "") -> None:
        value = summary.get(name)
        if value is None:
            return
        low, high = summary.get(f"{name}_low"), summary.get(f"{name}_high")
        interval = f"  [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
        lines.append(f"{label:<34} {value:.3f}{interval}{beside}")

    for name, label in (("image_to_text", "image -> text R@5"), ("text_to_image", "text -> image R@5")):
        chance = summary.get(f"test/retrieval/{name}/R@5_chance")
        pool = summary.get(f"test/retrieval/{name}/pool_size")
        beside = f"  chance {chance:.3f}, pool {pool:.0f}" if chance is not None and pool is not None else ""
        add(label, f"test/retrieval/{name}/R@5", beside)
    add("zero-shot macro AUROC", "test/zero_shot/macro_auroc")
    for share in ("1pct", "10pct", "100pct"):
        add(f"linear probe, {share[:-3]}% labels, AUROC", f"test/probe_{share}/macro_auroc")
        add("  the same, untrained encoder", f"test/probe_{share}_untrained/macro_auroc")
    lines.append(
        f"{'training':<34} {summary['train_wall_s']:.0f} s, {summary['samples_per_s']:.0f} samples/s, "
        f"{summary['steps']} steps; whole run {summary['wall_s']:.0f} s, peak {summary['peak_rss_mb']:.0f} MB"
    )
    return lines


def model_card(request: Request, about: dict[str, Any], summary: dict[str, Any], facts: dict[str, str]) -> str:
    """README.md of the saved model; every figure in it is read from the summary."""
    simulated = (
        "\n> Trained and evaluated on SIMULATED data. It knows nothing of real patients.\n"
        if about["simulated"]
        else ""
    )
    figures = "\n".join(f"    {line}" for line in headline(summary))
    environment = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return f"""# {about["domain"]} / {about["system"]}
{simulated}
Made by `{request.command}{f" --config {request.system}" if request.system else ""}` with Heptad.
Data: {about["data"]} ({about["licence"]}).
{summary["parameters"]:,} parameters, {summary["steps"]} steps, seed {summary["seed"]}.

## Use

```python
from domains.{about["domain"]} import load_encoder
encoder = load_encoder("path/to/this/folder", "MODALITY")
vector = encoder.encode("FILE")
```

Research software. Not a medical device; not for decisions about people.

## Held-out figures, with 95% bootstrap intervals

{figures}

All figures: `summary.json` of the run. Not measured: subgroups, other scanners and sites, calibration on real data.

## Environment

{environment}
"""


def pretrain_report(request: Request, folder: RunFolder, *rest: Any) -> Path:
    return folder.path / "report.html"
