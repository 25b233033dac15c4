"""Filtered ranks of one answer per question: closed forms, a loop written out here, and the evaluator of retrieval."""

import numpy as np
import pytest
import torch

from core.errors import DataError
from core.evaluation import KnownAnswers, answer_ranks, answer_scores, ranks_of
from core.evaluation.answers import AnswerRanks
from core.evaluation.scores import given_scores

NOTHING = np.zeros(0, np.int64)


def scene(seed=0, questions=40, candidates=23, ties=True):
    """Scores with many ties, questions that repeat, answers, and known pairs that hold every answer."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 4, (questions, candidates)) / 4 if ties else rng.normal(size=(questions, candidates))
    code, answer = rng.integers(0, 9, questions), rng.integers(0, candidates, questions)
    more = rng.integers(0, 9, 60), rng.integers(0, candidates, 60)
    known = np.concatenate([code, more[0]]), np.concatenate([answer, more[1]])
    return torch.tensor(score, dtype=torch.float32), code, answer, known


def by_hand(score, code, answer, known, pool=None):
    """The same by a loop over questions and candidates."""
    true = set(zip(*(x.tolist() for x in known), strict=True))
    found = []
    for i, row in enumerate(score.tolist()):
        others = [
            s
            for j, s in enumerate(row)
            if j != answer[i] and (code[i], j) not in true and (pool is None or bool(pool[j]))
        ]
        mine = row[answer[i]]
        above, tied = sum(s > mine for s in others), sum(s == mine for s in others)
        found.append((1 + above, 1 + above + tied, 1 + len(others)))
    return np.array(found, dtype=float).T


@pytest.mark.parametrize("block", [1, 400, 2**26])
def test_ranks_are_those_of_a_loop_for_any_block(block):
    score, code, answer, known = scene()
    found = answer_ranks(
        lambda rows: score[rows], code, answer, candidates=23, known=KnownAnswers(*known), block_bytes=block
    )
    optimistic, pessimistic, pool = by_hand(score, code, answer, known)
    np.testing.assert_array_equal(found.optimistic, optimistic)
    np.testing.assert_array_equal(found.pessimistic, pessimistic)
    np.testing.assert_array_equal(found.pool, pool)
    np.testing.assert_array_equal(found.realistic, (optimistic + pessimistic) / 2)


def test_only_the_pool_is_ranked_and_the_answer_always_is_of_it():
    score, code, answer, known = scene(3)
    pool = torch.arange(23) % 3 == 0
    found = answer_ranks(lambda r: score[r], code, answer, candidates=23, known=KnownAnswers(*known), pool_G=pool)
    np.testing.assert_array_equal(np.stack([found.optimistic, found.pessimistic, found.pool]),
                                  by_hand(score, code, answer, known, pool))  # fmt: skip


@pytest.mark.parametrize("candidates", [1, 2, 101])
def test_constant_scores_have_the_middle_rank(candidates):
    found = answer_ranks(lambda rows: torch.zeros(5, candidates), np.arange(5), np.zeros(5, int), candidates=candidates)
    assert set(found.optimistic) == {1}
    assert set(found.pessimistic) == {candidates}
    assert set(found.realistic) == {(candidates + 1) / 2}
    if candidates > 1:
        assert answer_scores(found, n_bootstrap=2).amri == pytest.approx(0)


def test_agrees_with_the_evaluator_of_retrieval_on_one_positive():
    score, code, answer, known = scene(5, ties=False)
    found = answer_ranks(lambda r: score[r], code, answer, candidates=23, known=KnownAnswers(*known))
    exclude = torch.zeros(score.shape, dtype=torch.bool)
    row, column = KnownAnswers(*known).pairs(code)
    exclude[row, column] = True
    exclude[torch.arange(len(answer)), torch.as_tensor(answer)] = False
    other = ranks_of(given_scores(score), answer, np.arange(23), exclude_QG=exclude)
    np.testing.assert_array_equal(found.realistic, other.rank)


def test_known_answers_of_a_question_without_any_are_none():
    known = KnownAnswers(np.array([4, 2, 4]), np.array([1, 0, 7]))
    row, answer = known.pairs(np.array([4, 3, 2]))
    assert list(zip(row.tolist(), answer.tolist(), strict=True)) == [(0, 1), (0, 7), (2, 0)]
    assert all(len(x) == 0 for x in KnownAnswers(NOTHING, NOTHING).pairs(np.array([0, 1])))


def test_figures_are_means_over_realistic_ranks():
    found = AnswerRanks(np.array([1.0, 2, 4, 11]), np.array([1.0, 4, 4, 11]), np.full(4, 21.0))
    scores = answer_scores(found, n_bootstrap=10)
    assert scores.mrr.value == pytest.approx((1 + 1 / 3 + 1 / 4 + 1 / 11) / 4)
    assert [scores.hits[k].value for k in (1, 3, 10)] == [0.25, 0.5, 0.75]
    assert scores.amri == pytest.approx(1 - (19 / 4 - 1) / (11 - 1))
    assert set(scores.flat()) >= {"mrr", "mrr_low", "hits@10", "mean_rank", "amri", "questions"}


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (torch.full((2, 3), float("nan")), "a score is nan"),
        (torch.zeros(2, 4), r"are \(2, 4\), expected \(2, 3\)"),
        (torch.zeros(2, 3, dtype=torch.bfloat16), "bfloat16, whose rounding makes ties"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(scores, words):
    with pytest.raises(DataError, match=words):
        answer_ranks(lambda rows: scores, np.zeros(2, int), np.zeros(2, int), candidates=3)


def test_no_question_and_odd_pairs_are_errors():
    with pytest.raises(DataError, match="no question"):
        answer_scores(AnswerRanks(*(np.zeros(0) for _ in range(3))))
    with pytest.raises(DataError, match="give pairs"):
        KnownAnswers(np.zeros(2, np.int64), np.zeros(3, np.int64))
