"""CreamFL's parts against dense references, its closed forms, and a simulated federation."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config.schema import OptimSettings
from core.encoders.base import Encoder
from core.errors import ConfigError
from core.federated import (
    BankRegression,
    Client,
    InterModal,
    IntraModal,
    Labels,
    Settings,
    Shard,
    aggregate,
    client_weights,
    features,
    mixed_batch,
    own_log_prob,
    simulate,
)
from core.models import DualEncoder
from core.objectives import FrozenTeacher, Objective, Pair, Step
from core.types import Batch, Encoded, ModalityInput


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def unit(n: int, d: int, g: torch.Generator, dtype=torch.float64) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=g, dtype=torch.float64), dim=1).to(dtype)


# the bank


@pytest.mark.parametrize("tile", [(1, 1), (3, 4), (64, 64)])
def test_own_log_prob_equals_log_softmax(rng, tile):
    rows, bank, own = unit(7, 5, rng), unit(11, 5, rng), torch.randint(11, (7,), generator=rng)
    got_rows, want_rows = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    got = own_log_prob(got_rows, bank, own, scale=9.0, tile=tile)
    want = (9 * want_rows @ bank.T).log_softmax(1)[torch.arange(7), own]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    g = torch.randn(7, generator=rng, dtype=torch.float64)
    for a, b in zip(torch.autograd.grad(got @ g, got_rows), torch.autograd.grad(want @ g, want_rows), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda r: own_log_prob(r, bank, own, scale=2.0, tile=tile), got_rows)


def test_own_log_prob_does_not_overflow_and_takes_half_precision(rng):
    """The released code exponentiates without subtracting the maximum."""
    rows, bank, own = unit(5, 4, rng, torch.float32), unit(6, 4, rng, torch.float32), torch.arange(5)
    assert own_log_prob(rows, bank, own, scale=1e4).isfinite().all()
    half = own_log_prob(rows.bfloat16(), bank.bfloat16(), own, scale=2.0)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, own_log_prob(rows, bank, own, scale=2.0), rtol=0, atol=0.03)
    assert own_log_prob(rows[:0], bank, own[:0]).shape == (0,)


# aggregation


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_weights_are_the_softmax_over_clients_of_log_p_of_the_own_pair(rng, scale):
    clients, bank = [unit(9, 4, rng) for _ in range(3)], unit(9, 4, rng)
    got, weight = aggregate(clients, bank, scale=scale, tile=(2, 4))
    log_p = torch.stack([(scale * f @ bank.T).log_softmax(1).diagonal() for f in clients])
    want = log_p.exp() / log_p.exp().sum(0)
    torch.testing.assert_close(weight, want, rtol=0, atol=1e-12)
    torch.testing.assert_close(got, sum(w[:, None] * f for w, f in zip(want, clients, strict=True)), rtol=0, atol=1e-12)
    torch.testing.assert_close(weight.sum(0), torch.ones(9).double())


def test_one_client_has_all_the_weight_and_identical_ones_share_it(rng):
    f, bank = unit(6, 4, rng, torch.float32), unit(6, 4, rng, torch.float32)
    got, weight = aggregate([f], bank)
    assert torch.equal(weight, torch.ones(1, 6))
    assert torch.equal(got, f)
    got, weight = aggregate([f, f, f, f], bank)
    assert torch.equal(weight, torch.full((4, 6), 0.25))
    torch.testing.assert_close(got, f)


def test_the_client_that_tells_partners_apart_gets_more_and_order_is_no_matter(rng):
    bank = unit(8, 6, rng)
    good, bad = bank.clone(), bank.roll(1, 0)
    weight = client_weights([good, bad], bank, scale=10.0)
    assert (weight[0] > 0.9).all()
    one, two = aggregate([good, bad], bank)[0], aggregate([bad, good], bank)[0]
    torch.testing.assert_close(one, two)


def test_clients_of_another_width_are_refused(rng):
    with pytest.raises(ConfigError, match=r"client 1 sends \(6, 5\), the bank is \(6, 4\)"):
        aggregate([unit(6, 4, rng), unit(6, 5, rng)], unit(6, 4, rng))
    with pytest.raises(ConfigError, match="no client knows the modality"):
        aggregate([], unit(6, 4, rng))


# terms


class Given(nn.Module):
    """Embeddings that are parameters."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(x.clone())
        self.reads, self.encoders, self.heads, self.fusion = {"a": "a"}, nn.ModuleDict(), nn.ModuleDict(), None

    def encode(self, modality, inp, **_) -> Encoded:
        return Encoded(pooled=self.x)

    def project(self, modality, encoded) -> Tensor:
        return encoded.pooled


def step_of(x: Tensor, items: Tensor, old: Tensor | None = None, present: Tensor | None = None) -> Step:
    present = torch.ones(len(items), dtype=torch.bool) if present is None else present
    inputs = {"a": ModalityInput(x)} if len(x) else {}
    batch = Batch([str(i) for i in range(len(items))], inputs, {"a": present}, keys={"public": items})
    teachers = {} if old is None else {"before": Given(old)}
    return Step(model=Given(x), batch=batch, index=0, generator=torch.Generator(), teachers=teachers)


def test_inter_is_the_cross_entropy_over_the_whole_bank(rng):
    bank, x, items = unit(10, 4, rng), torch.randn(3, 4, generator=rng).double(), torch.tensor([7, 0, 4])
    step = step_of(x, items)
    loss = InterModal(modality="a", bank=bank, tile=(2, 3))(step)["loss"]
    leaf = x.clone().requires_grad_()
    want = F.cross_entropy(F.normalize(leaf, dim=1) @ bank.T / 0.5, items)
    torch.testing.assert_close(loss, want, rtol=0, atol=1e-10)
    loss.backward()
    torch.testing.assert_close(step.model.x.grad, torch.autograd.grad(want, leaf)[0], rtol=0, atol=1e-10)


def test_inter_of_a_bank_of_equal_entries_is_its_logarithm(rng):
    bank = unit(1, 4, rng).expand(50, 4)
    loss = InterModal(modality="a", bank=bank)(step_of(unit(3, 4, rng), torch.tensor([1, 2, 3])))["loss"]
    assert float(loss.detach()) == pytest.approx(math.log(50))


def test_intra_is_the_two_way_cross_entropy_and_ln_2_when_the_old_is_the_global(rng):
    bank, x, old = (
        unit(10, 4, rng),
        torch.randn(3, 4, generator=rng).double(),
        torch.randn(3, 4, generator=rng).double(),
    )
    items = torch.tensor([7, 0, 4])
    term = IntraModal(modality="a", bank=bank, teacher="before")
    step = step_of(x, items, old)
    loss = term(step)["loss"]
    leaf = x.clone().requires_grad_()
    f, o = F.normalize(leaf, dim=1), F.normalize(old, dim=1)
    z = torch.stack([(f * bank[items]).sum(1), (f * o).sum(1)], dim=1) / 0.5
    want = F.cross_entropy(z, torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(loss, want, rtol=0, atol=1e-10)
    loss.backward()
    torch.testing.assert_close(step.model.x.grad, torch.autograd.grad(want, leaf)[0], rtol=0, atol=1e-10)
    assert step.teachers["before"].x.grad is None
    same = term(step_of(x, items, 3 * bank[items]))["loss"]
    assert float(same.detach()) == pytest.approx(math.log(2), abs=1e-12)


def test_regression_is_the_mean_square_of_unit_embeddings_and_zero_at_the_bank(rng):
    bank, x, items = 0.7 * unit(5, 4, rng), torch.randn(3, 4, generator=rng).double(), torch.tensor([4, 0, 2])
    loss = BankRegression(modality="a", bank=bank)(step_of(x, items))["loss"]
    torch.testing.assert_close(loss, (F.normalize(x, dim=1) - bank[items]).square().mean())
    sharp = unit(5, 4, rng)
    assert BankRegression(modality="a", bank=sharp)(step_of(2 * sharp[items], items))["loss"] < 1e-20


def test_a_batch_without_the_modality_is_an_exact_zero_with_a_graph(rng):
    bank, none = unit(5, 4, rng), torch.zeros(0, 4)
    for term in (
        InterModal(modality="a", bank=bank),
        IntraModal(modality="a", bank=bank, teacher="before"),
        BankRegression(modality="a", bank=bank),
        Labels(modality="a", head="h", labels="l"),
    ):
        loss = term(step_of(none, torch.tensor([0, 1]), present=torch.zeros(2, dtype=torch.bool)))["loss"]
        assert loss == 0
        loss.backward()


def test_rows_that_are_no_public_items_and_bad_settings_are_refused(rng):
    bank = unit(5, 4, rng)
    for items in (torch.tensor([0, 5]), torch.tensor([-1, 2])):
        with pytest.raises(ConfigError, match="every row of 'a' must be a public item"):
            InterModal(modality="a", bank=bank)(step_of(unit(2, 4, rng), items))
    with pytest.raises(ConfigError, match="temperature is 0; give a value above 0"):
        InterModal(modality="a", bank=bank, temperature=0)
    with pytest.raises(ConfigError, match=r"the bank is \(0, 4\)"):
        BankRegression(modality="a", bank=bank[:0])
    step = step_of(unit(2, 4, rng), torch.tensor([0, 1]))
    step.batch.keys.clear()
    with pytest.raises(ConfigError, match="the batch has no key 'public'"):
        BankRegression(modality="a", bank=bank)(step)


def test_intra_with_a_frozen_teacher_begins_with_the_client_itself(rng):
    """At the start of a round old = local, so the loss is softplus((1 - local . global) / T)."""
    bank, x, items = unit(5, 4, rng), unit(3, 4, rng), torch.tensor([0, 1, 2])
    objective = Objective(
        terms=[IntraModal(modality="a", bank=bank, teacher="before")], teachers={"before": FrozenTeacher()}
    )
    step = step_of(x, items)
    objective.attach(step.model)
    step.teachers = objective.teacher_models()
    want = F.softplus((1 - (x * bank[items]).sum(1)) / 0.5).mean()
    torch.testing.assert_close(objective(step)[0].detach(), want)


# data


def test_a_mixed_batch_keeps_private_and_public_rows_apart(rng):
    private = Shard({"image": ModalityInput(torch.arange(5.0)[:, None])}, {"kind": torch.arange(5)})
    public = Shard({"image": ModalityInput(10 + torch.arange(4.0)[:, None])})
    batch = mixed_batch(private, torch.tensor([3, 1]), public, torch.tensor([2, 0, 1]))
    assert len(batch) == 5
    assert batch.inputs["image"].x.flatten().tolist() == [3, 1]
    assert batch.inputs["public_image"].x.flatten().tolist() == [12, 10, 11]
    assert batch.keys["public"].tolist() == [-1, -1, 2, 0, 1]
    assert batch.labels["kind"][:2].tolist() == [3, 1]
    assert batch.labels["kind"][2:].isnan().all()
    assert not (batch.present["image"] & batch.present["public_image"]).any()
    with pytest.raises(ConfigError, match="give the same number"):
        Shard({"image": ModalityInput(torch.zeros(3, 1)), "text": ModalityInput(torch.zeros(2, 1))})


# the federation


class Tower(Encoder):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, inp: ModalityInput, *, keep=None, want=(), hooks=()) -> Encoded:
        return Encoded(pooled=self.net(inp.x))


KINDS, FEATURES = 8, 12


def model_of(seed: int, *modalities: str, width: int = 24) -> DualEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return DualEncoder(
            encoders={m: Tower(FEATURES, width) for m in modalities},
            modalities={m: m for m in modalities},
            dim=8,
            heads={"kinds": nn.Linear(width, KINDS)},
        )


def world(n: int, g: torch.Generator, world_seed: int) -> dict[str, Tensor]:
    w = torch.Generator().manual_seed(world_seed)
    centre = 2 * torch.randn(KINDS, 4, generator=w)
    look = [torch.randn(4, FEATURES, generator=w) for _ in range(2)]
    kind = torch.randint(KINDS, (n,), generator=g)
    z = centre[kind] + torch.randn(n, 4, generator=g)
    image, text = (torch.tanh(z @ m) + 0.2 * torch.randn(n, FEATURES, generator=g) for m in look)
    return {"image": image, "text": text, "kind": kind}


def shard(data: dict[str, Tensor], *modalities: str) -> Shard:
    return Shard({m: ModalityInput(data[m]) for m in modalities}, {"kind": data["kind"]})


def federation(seed: int, g: torch.Generator) -> list[Client]:
    """One client with images, one with texts, one with both; the server never sees their rows."""
    out = []
    for i, modalities in enumerate((("image",), ("text",), ("image", "text"))):

        def terms(modalities=modalities):
            if len(modalities) == 2:
                return [Pair(rows="image", keys="text")]
            return [Labels(modality=modalities[0], head="kinds", labels="kind")]

        model = model_of(seed + 10 + i, *modalities, width=16 + 8 * i)  # every client another architecture
        out.append(Client("+".join(modalities), model, shard(world(400, g, seed), *modalities), terms))
    return out


def mean_recall(test: Shard):
    def score(model: DualEncoder) -> float:
        found = features(model, test, ("image", "text"))
        s, i = found["image"] @ found["text"].T, torch.arange(len(test))
        return float(((s.argmax(1) == i).float().mean() + (s.argmax(0) == i).float().mean()) / 2)

    return score


QUICK = Settings(
    rounds=2, client_steps=8, server_steps=8, distil_steps=8, batch=16,
    optim=OptimSettings(lr=5e-3, warmup=0.0, schedule="constant"),
)  # fmt: skip


def run(seed: int, settings: Settings = QUICK, clients: bool = True):
    g = torch.Generator().manual_seed(seed)
    public, test = (shard(world(n, g, seed), "image", "text") for n in (40, 100))
    server, others = model_of(seed, "image", "text"), federation(seed, g) if clients else []
    before = [{n: p.detach().clone() for n, p in c.model.named_parameters()} for c in others]
    history = simulate(
        server=server, clients=others, public=public, pair=("image", "text"), settings=settings,
        score=mean_recall(test), seed=seed,
    )  # fmt: skip
    return history, server, others, before


def test_a_federation_of_three_kinds_of_clients_runs_and_everybody_learns():
    history, _, clients, before = run(0)
    assert len(history) == 2
    for turn in history:
        assert set(turn.losses) == {"server", "image", "text", "image+text", "distil"}
        assert all(math.isfinite(v) for v in turn.losses.values())
        assert set(turn.weights) == {"image", "text"}
        assert set(turn.weights["image"]) == {"image", "image+text"}
        for shares in turn.weights.values():
            assert sum(shares.values()) == pytest.approx(1)
        assert 0 <= turn.score <= 1
    assert history[1].losses["distil"] < 1
    for client, old in zip(clients, before, strict=True):
        assert any(not torch.equal(p, old[n]) for n, p in client.model.named_parameters())


def test_one_seed_is_one_federation():
    one, two = (run(1)[0] for _ in range(2))
    assert one == two
    assert one != run(2)[0]


def test_without_clients_the_server_trains_alone_and_nothing_is_distilled():
    history, *_ = run(0, clients=False)
    assert all(set(turn.losses) == {"server"} and turn.weights == {} for turn in history)


def test_the_terms_of_a_client_do_not_see_public_rows():
    seen = []

    class Spy(Labels):
        def forward(self, step):
            seen.append((len(step.input("image")), len(step.input("public_image"))))
            return super().forward(step)

    g = torch.Generator().manual_seed(0)
    data = shard(world(10, g, 0), "image")
    client = Client("c", model_of(1, "image"), data, lambda: [Spy(modality="image", head="kinds", labels="kind")])
    public = shard(world(20, g, 0), "image", "text")
    settings = Settings(rounds=1, client_steps=3, server_steps=1, distil_steps=0, batch=16)
    server = model_of(0, "image", "text")
    simulate(server=server, clients=[client], public=public, pair=("image", "text"), settings=settings)
    assert seen == [(10, 16)] * 3


def test_parts_that_do_not_belong_together_are_refused(rng):
    public = shard(world(6, rng, 0), "image", "text")
    server = model_of(0, "image", "text")
    image = Client("c", model_of(1, "image"), shard(world(6, rng, 0), "image"), list)

    def begin(**how):
        simulate(**{"server": server, "clients": [image], "public": public, "pair": ("image", "text"), **how})

    with pytest.raises(ConfigError, match=r"clients are called \['c', 'c'\]"):
        begin(clients=[image, image])
    with pytest.raises(ConfigError, match="the server has no 'text'"):
        begin(server=model_of(0, "image"))
    with pytest.raises(ConfigError, match="the public set has no 'sound'"):
        begin(pair=("image", "sound"))
    with pytest.raises(ConfigError, match=r"client 'x' has \['text'\] and its model reads \['image'\]"):
        begin(clients=[Client("x", model_of(1, "image"), shard(world(6, rng, 0), "text"), list)])
    narrow = DualEncoder(encoders={"image": Tower(FEATURES, 4)}, modalities={"image": "image"}, dim=3)
    with pytest.raises(ConfigError, match="client 'x' gives 3 numbers per item, the server 8"):
        begin(clients=[Client("x", narrow, shard(world(6, rng, 0), "image"), list)])
