"""Turns a run's figures into what people read: the last lines on screen, report.html and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config.schema import EvaluationSettings
from core.config.tree import dump
from core.data.datamodule import DataModule
from core.report import Answer, Item, Overlay, Report, RetrievalExample, map_cases_png, to_uint8
from core.training.cli import Request
from core.training.measure import Measured
from core.training.run_folder import RunFolder
from core.training.tasks import MapSegmentation, Outcome, Segmentation, Task
from core.training.text_report import add_text_figures, pictures_of, shown_text

ANSWERS = 5
# of a fine-tuning run's figures, those that stand on top of its page
KEY_FIGURES = (
    "/mean_dice", "/macro_auroc", "/mean_nsd", "/mean_iou", "/macro_map", "/average_accuracy", "/iou/changed", "/R2",
)  # fmt: skip


def headline(summary: Mapping[str, Any], split: str = "test", further: Mapping[str, str] | None = None) -> list[str]:
    """The figures that say whether a run went well, one line each, beside what chance or a baseline gives."""
    lines = []

    def add(label: str, name: str, beside: str = "") -> None:
        value = summary.get(f"{split}/{name}")
        if value is None:
            return
        low, high = summary.get(f"{split}/{name}_low"), summary.get(f"{split}/{name}_high")
        interval = f"  [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
        lines.append(f"{label:<34} {value:.3f}{interval}{beside}")

    for name, label in (("image_to_text", "image -> text R@5"), ("text_to_image", "text -> image R@5")):
        chance = summary.get(f"{split}/retrieval/{name}/R@5_chance")
        pool = summary.get(f"{split}/retrieval/{name}/pool_size")
        beside = f"  chance {chance:.3f}, pool {pool:.0f}" if chance is not None and pool is not None else ""
        add(label, f"retrieval/{name}/R@5", beside)
    add("zero-shot macro AUROC", "zero_shot/macro_auroc")
    for share in ("1pct", "10pct", "100pct"):
        add(f"linear probe, {share[:-3]}% labels, AUROC", f"probe_{share}/macro_auroc")
        add("  the same, untrained encoder", f"probe_{share}_untrained/macro_auroc")
    for label, name in (further or {}).items():
        add(label, name)
    if "train_wall_s" in summary:
        lines.append(
            f"{'training':<34} {summary['train_wall_s']:.0f} s, {summary['samples_per_s']:.0f} samples/s, "
            f"{summary['steps']} steps; whole run {summary['wall_s']:.0f} s, peak {summary['peak_rss_mb']:.0f} MB"
        )
    return lines


def model_card(
    request: Request,
    about: dict[str, Any],
    summary: dict[str, Any],
    facts: dict[str, str],
    further: Mapping[str, str] | None = None,
) -> str:
    """README.md of the saved model; every figure in it is read from the summary."""
    warning = "\n> Trained and evaluated on SIMULATED data. Its figures say nothing about real data.\n"
    figures = "\n".join(f"    {line}" for line in headline(summary, further=further))
    environment = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    command = f"{request.command}{f' --config {request.system}' if request.system else ''}"
    return f"""# {about["domain"]} / {about["system"]}
{warning if about["simulated"] else ""}
Made by `{command}` with Heptad.
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


def pretrain_report(
    request: Request,
    folder: RunFolder,
    settings: EvaluationSettings,
    data: DataModule,
    measured: Measured,
    summary: Mapping[str, Any],
    facts: Mapping[str, str],
    split: str = "test",
) -> Path:
    """report.html of a pretraining or an evaluation run."""
    report = _start(request, data, split)
    _tiles(report, summary, split, measured.headline)
    records = list(folder.metrics())
    if records:
        report.add_curves("Training", records, note="Terms are unweighted; val/ is measured on the validation split.")
    _retrieval(report, data, measured, settings.gallery, split)
    add_text_figures(report, data, measured, settings.gallery, split)
    _alignment(report, measured)
    for modality, scores in measured.zero_shot.items():
        intervals = {"macro mean": scores.macro_auroc} | {n: s.auroc for n, s in scores.labels.items()}
        remarks = {n: f"{s.positives} of {s.positives + s.negatives}" for n, s in scores.labels.items()}
        variance = measured.variance.get(modality)
        spread = (
            f" Single phrasings: {variance.mean:.3f} ± {variance.std:.3f}; ensemble {variance.ensemble:.3f}."
            if variance is not None
            else ""
        )
        report.add_intervals(
            f"Zero-shot AUROC from {modality}", intervals, chance=0.5, limits=(0.3, 1.0), remarks=remarks,
            note=f"Affirming against denying prompts, ensembles of phrasings; 95% bootstrap intervals.{spread}",
        )  # fmt: skip
    if measured.probes:
        columns = ["probe", "labels", "rows", "macro AUROC", "95% interval", "over seeds"]
        rows = [
            [kind.replace("_", " "), f"{fraction:.0%}", p.rows, p.macro_auroc.value,
             f"{p.macro_auroc.low:.3f} to {p.macro_auroc.high:.3f}", f"± {p.std:.3f}"]
            for kind, scores in measured.probes.items()
            for fraction, p in scores.items()
        ]  # fmt: skip
        report.add_table(f"Probes on frozen {measured.image} features", columns, rows)
    if measured.figures:
        report.add_table("Figures of this system", ["figure", "value"], [[k, v] for k, v in measured.figures.items()])
    for drawing in measured.drawings:
        report.add_figure(drawing.title, drawing.png, alt=drawing.alt, note=drawing.note)
    protocol = {name: scores.protocol for name, scores in measured.retrieval.items()}
    protocol |= {f"nDCG of {name}": scores.protocol for name, scores in measured.graded.items()}
    _finish(report, request, summary, facts, protocol, measured.notes)
    return report.write(folder.path / "report.html")


def finetune_report(
    request: Request,
    folder: RunFolder,
    task: Task,
    data: DataModule,
    outcome: Outcome,
    summary: Mapping[str, Any],
    facts: Mapping[str, str],
) -> Path:
    """report.html of a fine-tuning run."""
    report = _start(request, data, "test")
    for name, value in outcome.numbers.items():
        if name.endswith(KEY_FIGURES):
            low, high = outcome.numbers.get(f"{name}_low"), outcome.numbers.get(f"{name}_high")
            interval = (low, high) if low is not None and high is not None else None
            report.add_key_figure(name.removeprefix("test/"), value, interval=interval)
    report.add_curves("Training", list(folder.metrics()))
    if isinstance(task, Segmentation):
        overlays = [o for caption, x, labels in outcome.pictures for o in _overlays(task, caption, x, labels)]
        if overlays:
            report.add_overlays("Held-out cases", overlays, note="Outlines of the prediction on the model grid.")
    if isinstance(task, MapSegmentation) and outcome.pictures:
        cases = [(caption, {**inputs, **maps}) for caption, inputs, maps in outcome.pictures]
        report.add_figure(
            "Held-out maps", map_cases_png(cases, task.colours), alt="inputs, label, prediction and confidence by case",
            note="Confidence: largest class probability, white = 1. White in labels: nobody labelled.",
        )  # fmt: skip
    for title, (columns, rows) in outcome.tables.items():
        report.add_table(title, columns, rows)
    _finish(report, request, summary, facts, outcome.protocol, [])
    return report.write(folder.path / "report.html")


def _start(request: Request, data: DataModule, split: str) -> Report:
    layout = data.layouts[split]
    banner = "SIMULATED DATA: figures of this page say nothing about real data." if layout.simulated else ""
    title = f"{request.domain} / {request.verb}" + (f" / {request.system}" if request.system else "")
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in data.indices.items())
    return Report(title=title, subtitle=f"{layout.name}: {counts} records", banner=banner, footer=request.command)


def _tiles(report: Report, summary: Mapping[str, Any], split: str, further: Mapping[str, str]) -> None:
    def tile(label: str, name: str, chance: float | None = None, note: str = "") -> None:
        value = summary.get(f"{split}/{name}")
        if value is not None:
            low, high = summary.get(f"{split}/{name}_low"), summary.get(f"{split}/{name}_high")
            interval = (low, high) if low is not None and high is not None else None
            report.add_key_figure(label, value, interval=interval, chance=chance, note=note)

    for name, label in (("image_to_text", "image → text R@5"), ("text_to_image", "text → image R@5")):
        pool = summary.get(f"{split}/retrieval/{name}/pool_size")
        tile(
            label, f"retrieval/{name}/R@5", summary.get(f"{split}/retrieval/{name}/R@5_chance"),
            "" if pool is None else f"pool of {pool:.0f}",
        )  # fmt: skip
    tile("zero-shot macro AUROC", "zero_shot/macro_auroc", 0.5)
    untrained = summary.get(f"{split}/probe_10pct_untrained/macro_auroc")
    note = "" if untrained is None else f"untrained encoder {untrained:.3f}"
    tile("linear probe, 10% labels", "probe_10pct/macro_auroc", 0.5, note)
    for label, name in further.items():
        tile(label, name)


def _retrieval(report: Report, data: DataModule, measured: Measured, count: int, split: str) -> None:
    if "image_to_text" not in measured.retrieval:
        return
    columns = ["direction", "R@1", "R@5", "R@10", "chance R@5", "median rank", "mAP", "mINP", "pool"]
    rows = [
        [name.replace("_", " "), *(str(scores.recall[k]) for k in (1, 5, 10)), scores.chance_recall[5],
         scores.median_rank.value, scores.mean_average_precision.value,
         scores.mean_inverse_penalty.value, scores.pool_size]
        for name, scores in measured.retrieval.items()
        if name not in ("image_to_text", "text_to_image")
    ]  # fmt: skip
    totals = "; ".join(
        f"{modality} and {measured.text}: RSUM {measured.numbers[name + 'rsum']:.1f} of 600, mean recall "
        f"{measured.numbers[name + 'mean_recall']:.3f}"
        for modality in measured.features.rows
        if (name := f"{split}/retrieval/{modality}_and_{measured.text}/") + "rsum" in measured.numbers
    )
    report.add_table(
        "Retrieval", columns, rows,
        note=f"A text equal to the right one counts as right; ties share a rank; ranks start at 1. {totals}.",
    )  # fmt: skip
    found, image, text = measured.features, measured.image, measured.text
    of_a, of_b, both = found.paired(image, text)
    similarity = found.vectors[image][of_a].astype(np.float64) @ found.vectors[text][of_b].T
    keys = found.keys.get(text, np.arange(len(found.ids)))[both]
    dataset = data.dataset(split)

    def item(row: int, kind: str) -> Item:
        position = int(both[row])
        if kind == "text":
            return Item(text=shown_text(dataset, text, position) or found.ids[position])
        processor = data.processors[image]
        drawn = processor.drawn(dataset.record(position).sources[processor.of or image])
        if drawn is not None:
            return Item(pictures=[drawn])
        sample = dataset.load(dataset.record(position))[image]
        return Item(pictures=pictures_of(data.processors[image], sample))

    chosen = np.linspace(0, len(both) - 1, min(count, len(both))).astype(int)
    for name, matrix, ask, answer in (
        ("image_to_text", similarity, "image", "text"),
        ("text_to_image", similarity.T, "text", "image"),
    ):
        examples = []
        for q in chosen:
            best = np.argsort(-matrix[q], kind="stable")[:ANSWERS]
            answers = [Answer(item(int(b), answer), float(matrix[q, b]), bool(keys[b] == keys[q])) for b in best]
            rank = float(measured.retrieval[name].rank[q])
            examples.append(RetrievalExample(item(int(q), ask), answers, rank=rank, pool=len(both)))
        report.add_retrieval(f"{ask} → {answer}: held-out examples, evenly chosen", examples)


def _alignment(report: Report, measured: Measured) -> None:
    """How the modalities lie to each other; one column per image modality."""
    if not measured.alignment:
        return
    ideal = {
        "modality gap": "0", "relative modality gap": "0", "linear separability": "0.5", "alignment": "0",
        "uniformity, image": "low", "uniformity, text": "low", "self cosine, image": "0", "self cosine, text": "0",
        "linear CKA, debiased": "1", "hubness skew, text → image": "0", "hubness skew, image → text": "0",
    }  # fmt: skip
    columns = []
    for found in measured.alignment.values():
        columns.append([
            found.gap, found.relative_gap, str(found.separability), str(found.alignment),
            found.uniformity["image"], found.uniformity["text"], found.self_cosine["image"], found.self_cosine["text"],
            found.linear_cka, found.hubness["text_to_image"].skewness, found.hubness["image_to_text"].skewness,
        ])  # fmt: skip
    rows = [[name, *values, best] for (name, best), *values in zip(ideal.items(), *columns, strict=True)]
    report.add_table(
        "Alignment", ["figure", *(f"{m} and {measured.text}" for m in measured.alignment), "ideal"], rows,
        note="Separability: held-out accuracy of a linear classifier of modality. Alignment: mean squared distance of "
        "pairs. Uniformity: log of the mean Gaussian potential. Hubness: skew of how often a row is found among 10.",
    )  # fmt: skip


def _overlays(
    task: Segmentation, caption: str, x: NDArray[np.floating], labels: Mapping[str, NDArray[np.integer]]
) -> list[Overlay]:
    middle = x.shape[1] // 2
    picture = to_uint8(x[min(1, x.shape[0] - 1), middle], low=0, high=1)
    out = []
    for name, classes in task.groups.items():
        masks = {c: labels[name][middle] == i for i, c in enumerate(classes, start=1)}
        out.append(Overlay(picture, {c: m for c, m in masks.items() if m.any()}, caption=f"{caption}, {name}"))
    return out


def _finish(
    report: Report,
    request: Request,
    summary: Mapping[str, Any],
    facts: Mapping[str, str],
    protocol: Mapping[str, Any],
    notes: list[str],
) -> None:
    if notes:
        report.add_text("Left out", *notes)
    cost = ("train_wall_s", "wall_s", "samples_per_s", "peak_rss_mb", "steps", "parameters", "seed")
    report.add_facts("Cost", {k: summary[k] for k in cost if k in summary})
    report.add_facts("Protocol", protocol)
    report.add_facts("Environment", facts)
    report.add_config(dump(request.tree))
