"""The settings of the four verbs. Pure pydantic: importing this file costs no torch.

What an object is (model, objectives, processors) is a node `{class_path, init_args}`; what a run does is a setting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

Node = dict[str, Any]
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
SomeShare = Annotated[float, Field(gt=0, le=1)]
Split = Literal["train", "val", "test"]


def _word(value: Any) -> Any:
    """YAML reads 32 as a number; here it is the name of a choice."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Settings(BaseModel):
    """Base of all settings: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", validate_default=False, allow_inf_nan=False)


def _existing(path: Path | None) -> Path | None:
    """The absolute path, so that a run can be resumed from elsewhere."""
    path = None if path is None else path.expanduser().absolute()
    if path is not None and not path.exists():
        raise ValueError(f"no such file or folder: {path}")
    return path


class DataSettings(Settings):
    layout: str = Field("", description="name of the on-disk layout; empty: the domain's embedded sample data")
    root: Path | None = Field(None, description="folder of the dataset; not needed for the embedded sample data")
    layout_args: dict[str, Any] = Field({}, description="further arguments of the layout class")
    processors: dict[str, Node] = Field({}, description="modality -> processor node")
    batch_size: Positive = Field(64, description="rows per optimiser step on each device")
    workers: Annotated[int, Field(ge=0)] = Field(0, description="loader processes; 0 loads in the training process")
    prepare_workers: Annotated[int, Field(ge=0)] = Field(2, description="processes that fill the sample cache")
    keep_texts_from: Positive | None = Field(
        20_000,
        description="texts of a split from which on slow processing of them (structures) is kept on disk; null: never",
    )
    worker_timeout: Annotated[int, Field(gt=0)] = Field(120, description="seconds before a stuck loader is an error")
    augment: bool = Field(True, description="random augmentation of training samples")
    on_bad_record: Literal["skip", "raise"] = Field("skip", description="what an unreadable record does")
    max_bad_share: SomeShare = Field(0.05, description="share of skipped records above which the run stops")
    limit: dict[Split, Positive] = Field({}, description="use at most this many records of a split, e.g. {train: 100}")

    _root_exists = field_validator("root")(_existing)


class TrainerSettings(Settings):
    max_steps: Positive = Field(1000, description="optimiser steps")
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_word)] = Field(
        "auto", description="auto: bf16 autocast where the processor computes in it, else 32"
    )
    accelerator: str = Field("auto", description="auto, cpu, cuda, mps: as in Lightning")
    devices: Annotated[int, Field(ge=1)] = Field(1, description="devices per node; more than one trains with DDP")
    threads: Annotated[int, Field(ge=0)] = Field(
        0, description="CPU threads; 0: all cores. Recorded, as it changes sums"
    )
    micro_batch: Annotated[int, Field(ge=0)] = Field(
        0, description="rows per encoder forward (gradient cache): large batches in little memory; 0: all at once"
    )
    gradient_clip: Annotated[float, Field(ge=0)] = Field(1.0, description="clip of the gradient norm; 0: none")
    log_every: Positive = Field(10, description="steps between lines of metrics.jsonl")
    validate_every: Positive = Field(100, description="steps between validations")
    checkpoint_every: Positive = Field(100, description="steps between checkpoints")
    progress: bool = Field(True, description="progress bar on a terminal, plain lines elsewhere")


class OptimSettings(Settings):
    lr: Annotated[float, Field(gt=0)] = Field(1e-3, description="peak learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.05, description="AdamW decay; not on biases, norms, scales")
    betas: tuple[float, float] = Field((0.9, 0.98), description="AdamW betas")
    eps: Annotated[float, Field(gt=0)] = Field(1e-6, description="AdamW epsilon")
    warmup: Share = Field(0.1, description="share of the steps with linear warm-up")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="decay after the warm-up")
    final_lr: Share = Field(0.01, description="last learning rate as a share of the peak")
    lr_mult: dict[str, float] = Field({}, description="parameter-name prefix -> factor on the learning rate")


class ProbeSettings(Settings):
    fractions: Annotated[list[SomeShare], Field(min_length=1)] = Field(
        [0.01, 0.1, 1.0], description="shares of the training labels"
    )
    seeds: Positive = Field(5, description="label subsets per share")
    neighbours: Positive = Field(10, description="k of the nearest-neighbour probe")


class EvaluationSettings(Settings):
    image: str = Field("", description="modality that stands for the image in headline figures; empty: the first one")
    images: list[str] = Field([], description="image modalities to evaluate, among views of one image; empty: all")
    text: str = Field("", description="text modality; empty: the first text processor")
    prompts_as: str = Field("", description="text modality that reads the prompts; empty: the one of `text`")
    prompts: dict[str, dict[str, list[str]]] = Field({}, description="label -> {positive: [...], negative: [...]}")
    retrieval: bool = Field(True, description="image <-> text retrieval on the held-out split")
    relevance: Literal["", "shared", "contains"] = Field(
        "", description="nDCG by labels: a row is worth the labels shared, or 1 if it has all of the query; empty: none"
    )
    languages: dict[str, str] = Field({}, description="language -> text modality, for retrieval figures of each")
    zero_shot: bool = Field(True, description="zero-shot labels from prompts")
    probe: ProbeSettings | None = Field(ProbeSettings(), description="linear and nearest-neighbour probes; null: none")
    untrained_baseline: bool = Field(True, description="probe the untrained encoder in the same run")
    figures: list[Node] = Field([], description="further figures that the system is judged by: nodes")
    watch: str = Field("mean_recall", description="validation figure whose largest value makes the best checkpoint")
    bootstrap: Positive = Field(1000, description="bootstrap samples per interval")
    gallery: Annotated[int, Field(ge=0)] = Field(6, description="queries shown in the report")

    @field_validator("prompts")
    @classmethod
    def _both_sides(cls, prompts: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
        for label, sides in prompts.items():
            if set(sides) != {"positive", "negative"} or not all(sides.values()):
                raise ValueError(f"'{label}' needs texts under `positive` and under `negative`; it has {sorted(sides)}")
        return prompts


class RunSettings(Settings):
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="one seed gives one run")
    run_dir: Path | None = Field(None, description="folder of the run; default runs/<domain>/<verb>-<system>-<time>")


class PretrainConfig(RunSettings):
    """Pretrain a model on unlabelled pairs, evaluate it on held-out studies and save it."""

    model: Node = Field(description="the model, a node")
    objectives: list[Node] = Field(description="objective terms: nodes with an optional `weight`")
    teachers: dict[str, Node] = Field({}, description="teachers by name, for terms that ask for them: nodes")
    init_from: Path | None = Field(None, description="run or saved model that gives the first weights and tokenizers")
    init_parts: list[str] = Field(
        [], description="parts of `init_from` to take, by name: encoders.image; empty: all of it, which has to fit"
    )
    data: DataSettings = DataSettings()
    trainer: TrainerSettings = TrainerSettings()
    optim: OptimSettings = OptimSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    _init_exists = field_validator("init_from")(_existing)


class FinetuneConfig(RunSettings):
    """Fine-tune a pretrained encoder, or the same encoder from scratch, on labels or masks."""

    task: Node = Field(description="the downstream task, a node")
    modality: str | Annotated[list[str], Field(min_length=1)] = Field(
        description="input modality, or several; encoder and processors come from the pretrained run"
    )
    shares: dict[str, str] = Field({}, description="modality -> the pretrained one whose encoder and processor it has")
    from_run: Path | None = Field(None, description="pretrained run or saved model; default: the newest of the domain")
    towers: dict[str, Path] = Field(
        {}, description="fine-tuned runs by the modality that each reads, to begin with instead of a pretrained run"
    )
    init: Literal["pretrained", "scratch"] = Field("pretrained", description="weights the encoder starts from")
    pretrain_system: str = Field("", description="system whose encoder to use from scratch when there is no run")
    label_fraction: SomeShare = Field(1.0, description="share of the labelled groups used")
    freeze: bool = Field(False, description="keep the encoder fixed and train the head alone")
    choose: Literal["last", "best"] = Field(
        "last", description="weights that are scored and saved: of the last step, or of the best validation"
    )
    data: DataSettings = DataSettings()
    trainer: TrainerSettings = TrainerSettings()
    optim: OptimSettings = OptimSettings()
    bootstrap: Positive = Field(1000, description="bootstrap samples per interval")

    _run_exists = field_validator("from_run")(_existing)


class EvaluateConfig(RunSettings):
    """Evaluate a saved model on a dataset: retrieval, zero-shot labels, probes."""

    model: Path | None = Field(None, description="run or saved model; default: the newest pretrain run of the domain")
    split: Split = Field("test", description="split to evaluate on")
    data: DataSettings = DataSettings()
    trainer: TrainerSettings = TrainerSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    _model_exists = field_validator("model")(_existing)


class EmbedConfig(RunSettings):
    """Embed files with a saved model into a Parquet table, one row per input."""

    inputs: list[Path] = Field([], description="files or folders; a folder is searched; default: the sample data")
    model: Path | None = Field(None, description="run or saved model; default: the newest pretrain run of the domain")
    modality: str = Field("", description="modality of all inputs; empty: told from each file")
    out: Path | None = Field(None, description="Parquet file to write; default: embeddings.parquet in the run folder")
    batch_size: Positive = Field(16, description="inputs encoded together")
    on_bad_record: Literal["skip", "raise"] = Field("skip", description="what an unreadable input does")
    trainer: TrainerSettings = TrainerSettings()

    _model_exists = field_validator("model")(_existing)

    @field_validator("inputs")
    @classmethod
    def _inputs_exist(cls, inputs: list[Path]) -> list[Path]:
        for path in inputs:
            _existing(path)
        return inputs


VERBS: dict[str, type[RunSettings]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "evaluate": EvaluateConfig,
    "embed": EmbedConfig,
}
