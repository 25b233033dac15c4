"""A federation in one process: clients with images, texts or both, and a server that sees public pairs only (CreamFL).

Clients and server exchange features of public items, never weights or data, so that every model may be another.
Shape legend: M = public items, D = width of the shared space, C = clients.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.config.schema import OptimSettings, TrainerSettings
from core.errors import ConfigError
from core.federated.aggregate import aggregate
from core.federated.data import Shard, loader, public_name
from core.federated.terms import BankRegression, InterModal, IntraModal
from core.models.dual_encoder import DualEncoder
from core.objectives import FrozenTeacher, Objective, Pair, Teacher, Term
from core.objectives.contrast.similarity import unit
from core.training.module import TrainingModule

Banks = dict[str, Tensor]  # modality -> (M, D) unit features of the public items


@dataclass(slots=True)
class Client:
    """model: reads the modalities of `shard`. terms: makes the client's own objective, anew in every round; its terms
    name the plain modalities, so that they see private rows alone."""

    name: str
    model: DualEncoder
    shard: Shard
    terms: Callable[[], list[Term]]


@dataclass(frozen=True, slots=True)
class Settings:
    """steps: optimiser steps of a client, of the server's contrast and of its distillation, per round. batch: private
    and public rows of a step. inter, intra: weights of a client's regularisers. distil: of the server's regression on
    aggregated features. temperature: of both regularisers. optim: of everybody, with a fresh state in every round."""

    rounds: int = 3
    client_steps: int = 20
    server_steps: int = 20
    distil_steps: int = 20
    batch: int = 32
    inter: float = 0.5
    intra: float = 0.5
    distil: float = 0.3
    temperature: float = 0.5
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=1e-3, warmup=0.0, schedule="constant"))


@dataclass(frozen=True, slots=True)
class Round:
    """losses[who]: last loss of each training. weights[modality][client]: mean share in the aggregated features.
    score: of the server after the round, nan without a score function."""

    losses: dict[str, float]
    weights: dict[str, dict[str, float]]
    score: float


def simulate(
    *,
    server: DualEncoder,
    clients: Sequence[Client],
    public: Shard,
    pair: tuple[str, str],
    settings: Settings | None = None,
    score: Callable[[DualEncoder], float] | None = None,
    seed: int = 0,
) -> list[Round]:
    """Run the rounds; models are trained in place.

    A round: the server contrasts public pairs; its features of all public items go to the clients; each client trains
    on its own data and keeps to those features on public items (`InterModal`, `IntraModal`); clients' features are
    aggregated per item; the server regresses on them. Without clients the server trains alone for as many steps.
    pair: the two modalities. Raises ConfigError for models, shards and modalities that do not belong together.
    """
    settings = Settings() if settings is None else settings
    _check(server, clients, public, pair)
    for model in (server, *(client.model for client in clients)):
        _read_public(model, pair)
    history = []
    for turn in range(settings.rounds):
        losses: dict[str, float] = {}
        first, second = (public_name(modality) for modality in pair)
        losses["server"] = _train(
            server, [Pair(rows=first, keys=second)], [1.0], None, public, settings.server_steps, settings, seed + turn
        )
        banks = features(server, public, pair)
        sent: dict[str, dict[str, Tensor]] = {modality: {} for modality in pair}
        for number, client in enumerate(clients, start=1):
            terms, weights, teachers = _client_objective(client, banks, pair, settings)
            losses[client.name] = _train(
                client.model, terms, weights, client.shard, public, settings.client_steps, settings,
                seed + turn + 1000 * number, teachers,
            )  # fmt: skip
            for modality, feature_MD in features(client.model, public, _known(client, pair)).items():
                sent[modality][client.name] = feature_MD
        targets, shares = _aggregated(sent, banks, pair)
        if targets:
            terms = [BankRegression(modality=public_name(m), bank=bank) for m, bank in targets.items()]
            steps, factors = settings.distil_steps, [settings.distil] * len(terms)
            losses["distil"] = _train(server, terms, factors, None, public, steps, settings, seed + turn + 500)
        value = float("nan") if score is None else float(score(server.eval()))
        history.append(Round(losses, shares, value))
    return history


@torch.no_grad()
def features(model: DualEncoder, public: Shard, modalities: Sequence[str], chunk: int = 256) -> Banks:
    """Unit features of every public item."""
    model.eval()
    index_M = torch.arange(len(public))
    return {
        m: torch.cat([unit(model.embed(m, public.inputs[m].rows(rows))[0]) for rows in index_M.split(chunk)])
        for m in modalities
    }


def _aggregated(
    sent: Mapping[str, Mapping[str, Tensor]], banks: Banks, pair: tuple[str, str]
) -> tuple[Banks, dict[str, dict[str, float]]]:
    """Targets of the server, and each client's mean share; a modality that no client knows has none."""
    targets: Banks = {}
    shares: dict[str, dict[str, float]] = {}
    for modality, other in (pair, pair[::-1]):
        if sent[modality]:
            targets[modality], weight_CM = aggregate(list(sent[modality].values()), banks[other])
            shares[modality] = {name: float(w_M.mean()) for name, w_M in zip(sent[modality], weight_CM, strict=True)}
    return targets, shares


def _client_objective(
    client: Client, banks: Banks, pair: tuple[str, str], settings: Settings
) -> tuple[list[Term], list[float], dict[str, Teacher]]:
    terms = client.terms()
    weights = [1.0] * len(terms)
    for modality, other in (pair, pair[::-1]):
        if modality in client.shard.inputs:
            name, t = public_name(modality), settings.temperature
            terms.append(InterModal(modality=name, bank=banks[other], temperature=t))
            terms.append(IntraModal(modality=name, bank=banks[modality], teacher="before", temperature=t))
            weights += [settings.inter, settings.intra]
    return terms, weights, {"before": FrozenTeacher()}


def _train(
    model: DualEncoder,
    terms: list[Term],
    weights: list[float],
    private: Shard | None,
    public: Shard,
    steps: int,
    settings: Settings,
    seed: int,
    teachers: Mapping[str, Teacher] | None = None,
) -> float:
    """Train by the ordinary loop; the last loss."""
    import lightning as L

    if steps == 0:
        return float("nan")
    known = {m: inp for m, inp in public.inputs.items() if m in model.reads}
    module = TrainingModule(
        model, Objective(terms=terms, weights=weights, teachers=teachers), optim=settings.optim,
        trainer=TrainerSettings(max_steps=steps), seed=seed,
        make_loader=lambda total, start=0, **_: loader(
            private, Shard(known), batch=settings.batch, seed=seed, start=start, total=total
        ),
    )  # fmt: skip
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        L.Trainer(
            accelerator="cpu", max_steps=steps, max_epochs=-1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, inference_mode=False,
        ).fit(module)  # fmt: skip
    return module.logs["loss"]


def _read_public(model: DualEncoder, pair: tuple[str, str]) -> None:
    """Let a model read public rows with the encoder and the projection of their modality."""
    for modality in pair:
        if modality in model.reads:
            model.reads[public_name(modality)] = model.reads[modality]
            model.projections[public_name(modality)] = model.projections[modality]


def _known(client: Client, pair: tuple[str, str]) -> list[str]:
    return [modality for modality in pair if modality in client.shard.inputs]


def _check(server: DualEncoder, clients: Sequence[Client], public: Shard, pair: tuple[str, str]) -> None:
    names = [client.name for client in clients]
    if len(set(names)) != len(names) or {"server", "distil"} & set(names):
        raise ConfigError(f"federation: clients are called {names}; give each a name of its own, not server or distil")
    for who, has in (("the public set", public.inputs), ("the server", server.reads)):
        missing = set(pair) - set(has)
        if missing:
            raise ConfigError(f"federation: {who} has no '{', '.join(sorted(missing))}'; it needs both of {list(pair)}")
    for client in clients:
        unread = set(client.shard.inputs) - set(client.model.reads)
        if unread or not _known(client, pair):
            raise ConfigError(
                f"federation: client '{client.name}' has {sorted(client.shard.inputs)} and its model reads "
                f"{sorted(client.model.reads)}; give it one of {list(pair)}, and a model that reads what it has"
            )
        if client.model.dim != server.dim:
            raise ConfigError(
                f"federation: client '{client.name}' gives {client.model.dim} numbers per item, the server "
                f"{server.dim}; set dim to the same"
            )
