"""The matching loss of a step: closed forms, duplicates, missing pictures, gradients."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from linking_cards import A, C, D, matcher
from torch import nn

from core.errors import ConfigError
from core.objectives import Step
from core.types import Batch, Encoded, ModalityInput, Tokens
from domains.molecules.linking import LevelMatching
from domains.molecules.linking.card import Seen
from domains.molecules.linking.matcher import overall

PICTURE = 7
MODALITIES = ("mention", "mention_image", "entity", "entity_image")


class Given(nn.Module):
    """Tokens that are parameters; the vector of a row is a cut of their mean."""

    def __init__(self, tokens, head) -> None:
        super().__init__()
        self.tokens = nn.ParameterDict(tokens)
        self.encoders, self.fusion = nn.ModuleDict(), None
        self.heads = nn.ModuleDict({"linking": head})
        self.reads = {m: m for m in MODALITIES}

    def encode(self, modality, inp, *, keep=None, want=(), hooks=()):
        x = self.tokens[modality][inp.x[:, 0].long()]
        return Encoded(pooled=x.mean(1), tokens=Tokens(x=x, mask=inp.mask))

    def project(self, modality, encoded):
        return encoded.pooled[:, : (C if modality.endswith("image") else A)]


def told(rows=5, *, ids=None, m_pictures=None, e_pictures=None, scale=1.0, seed=0) -> Step:
    rng = torch.Generator().manual_seed(seed)
    shown = {
        "mention": list(range(rows)), "entity": list(range(rows)),
        "mention_image": list(range(rows)) if m_pictures is None else m_pictures,
        "entity_image": list(range(rows)) if e_pictures is None else e_pictures,
    }  # fmt: skip
    tokens, inputs, present = {}, {}, {}
    for m, has in shown.items():
        n, width = (3, PICTURE) if m.endswith("image") else (4, D)
        tokens[m] = nn.Parameter(scale * torch.randn(rows, n, width, generator=rng, dtype=torch.float64))
        present[m] = torch.tensor([i in has for i in range(rows)])
        if has:
            mask = None if m.endswith("image") else torch.ones(len(has), n, dtype=torch.bool)
            inputs[m] = ModalityInput(torch.tensor(has)[:, None], mask)
    keys = {"sample": torch.arange(rows), "entity": torch.tensor(list(range(rows)) if ids is None else ids)}
    batch = Batch([str(i) for i in range(rows)], inputs, present, keys=keys)
    return Step(model=Given(tokens, matcher()), batch=batch, index=0, generator=torch.Generator())


def flat(at: Step) -> None:
    """Every pair fits alike at every level."""
    for name, p in at.model.heads["linking"].named_parameters():
        if "norm" in name or "cls" in name:
            nn.init.zeros_(p)


def test_equal_scores_cost_the_log_of_the_rows_four_times():
    at = told(6)
    flat(at)
    values = LevelMatching()(at)
    for name in ("overall", "text", "picture", "cross"):
        assert values[name].item() == pytest.approx(math.log(6), abs=1e-9), name
    assert values["loss"].item() == pytest.approx(4 * math.log(6), abs=1e-9)
    assert values["accuracy"] == 0


def reference(at: Step, ids: list[int], m_has: list[int], e_has: list[int]) -> dict[str, torch.Tensor]:
    """With -inf for other rows of the same entity, one row at a time."""
    model, n = at.model, len(ids)
    head = model.heads["linking"]

    def side(text, picture, has):
        mark = torch.tensor([i in has for i in range(n)])
        x, y = model.tokens[text], model.tokens[picture][mark]
        return head.card(Seen(x.mean(1)[:, :A], x, torch.ones(n, 4).bool(), y.mean(1)[:, :C], y, mark))

    m, e = side("mention", "mention_image", m_has), side("entity", "entity_image", e_has)
    scores = head(head.mentions(m), head.entities(e))
    out = {}
    for name, score in zip(["overall", *head.names], [overall(scores), *scores], strict=True):
        rows = [i for i in range(n) if name != "picture" or (i in m_has and i in e_has)]
        losses = []
        for i in rows:
            kept = [j for j in range(n) if j == i or ids[j] != ids[i]]
            losses.append(-F.log_softmax(score[i, kept], 0)[kept.index(i)])
        out[name] = torch.stack(losses).mean()
    return out


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [7, 1, 7, 7, 1]])
def test_it_is_the_sum_of_the_cross_entropies_and_duplicates_are_no_wrong_answers(ids):
    m_has, e_has = [0, 2, 3], [0, 1, 3, 4]
    at = told(ids=ids, m_pictures=m_has, e_pictures=e_has)
    values, expected = LevelMatching()(at), reference(at, ids, m_has, e_has)
    for name, value in expected.items():
        torch.testing.assert_close(values[name], value, msg=name)
    torch.testing.assert_close(values["loss"], sum(expected.values()))
    grads = torch.autograd.grad(values["loss"], list(at.model.parameters()), allow_unused=True)
    wanted = torch.autograd.grad(sum(expected.values()), list(at.model.parameters()), allow_unused=True)
    for (name, _), ours, theirs in zip(at.model.named_parameters(), grads, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_gradients_agree_with_finite_differences():
    at = told(3, ids=[0, 1, 0], m_pictures=[0, 2])
    weight = at.model.heads["linking"].levels["text"].query.weight
    loss = LevelMatching()(at)["loss"]
    (grad,) = torch.autograd.grad(loss, weight)
    for i, j in ((0, 0), (2, 3)):
        found = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[i, j] += step
                again = Step(model=at.model, batch=at.batch, index=0, generator=torch.Generator())
                found.append(LevelMatching()(again)["loss"].item())
                weight[i, j] -= step
        assert grad[i, j].item() == pytest.approx((found[0] - found[1]) / 2e-6, abs=1e-6)


def test_accuracy_counts_rows_whose_own_entity_beats_all_others():
    at = told(5, ids=[0, 1, 0, 3, 4], seed=2)
    head, every = at.model.heads["linking"], torch.ones(5, dtype=torch.bool)

    def side(text, picture):
        x, y = at.model.tokens[text], at.model.tokens[picture]
        return head.card(Seen(x.mean(1)[:, :A], x, torch.ones(5, 4).bool(), y.mean(1)[:, :C], y, every))

    m, e = side("mention", "mention_image"), side("entity", "entity_image")
    score = overall(head(head.mentions(m), head.entities(e)))
    score[0, 2] = score[2, 0] = -torch.inf  # the same entity
    expected = (score.argmax(1) == torch.arange(5)).double().mean()
    assert LevelMatching()(at)["accuracy"].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("pictures", [([], []), ([0, 1], [2, 3])])
def test_without_a_pair_of_pictures_their_level_costs_nothing(pictures):
    at = told(4, m_pictures=pictures[0], e_pictures=pictures[1])
    values = LevelMatching()(at)
    assert values["picture"].item() == 0
    values["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in at.model.parameters() if p.grad is not None)


def test_a_batch_that_is_one_entity_costs_nothing_and_one_row_alone_neither():
    same = LevelMatching()(told(3, ids=[5, 5, 5]))
    assert same["loss"].item() == pytest.approx(0, abs=1e-12)
    one = LevelMatching()(told(1))
    assert one["loss"].item() == 0
    assert one["loss"].requires_grad


def test_errors_name_the_head_and_the_key():
    at = told(3)
    with pytest.raises(ConfigError, match="no key 'entty'"):
        LevelMatching(key="entty")(at)
    at.model.heads["other"] = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=r"model.heads.other is a Linear; entity linking needs a"):
        LevelMatching(head="other")(at)
