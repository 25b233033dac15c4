"""F1 of answers: by hand, its invariants, the interval, the most frequent label."""

import numpy as np
import pytest

from domains.molecules.schema.question import Question
from domains.molecules.schema.scores import f1, micro_interval, task_scores


def question(task: str, answer: str, collection: str = "c") -> Question:
    return Question(task, collection, "text", "", 0, "", answer)


def test_f1_of_a_hand_counted_case():
    micro, macro = f1(list("aaab"), list("aabb"))
    assert micro == pytest.approx(3 / 4)
    assert macro == pytest.approx((2 * 2 / (3 + 2) + 2 * 1 / (1 + 2)) / 2)


def test_micro_f1_is_accuracy_and_macro_f1_does_not_count_how_often():
    rng = np.random.default_rng(0)
    gold, given = rng.choice(list("abcd"), 60), rng.choice(list("abcd"), 60)
    micro, macro = f1(gold, given)
    assert micro == pytest.approx((gold == given).mean())
    assert f1(np.tile(gold, 3), np.tile(given, 3)) == pytest.approx((micro, macro))
    # replicating one class whole (its questions, and those answered by it) leaves the F1 of a right answerer at 1
    right = np.append(gold, gold[gold == "a"])
    assert f1(right, right) == (1.0, 1.0)


def test_tasks_weigh_the_same_whatever_their_size():
    questions = [question("ner", "a")] * 9 + [question("rc", "b")]
    answers = ["a"] * 9 + ["c"]
    figures = task_scores(questions, answers)
    assert figures["ner/micro_f1"] == 1
    assert figures["rc/micro_f1"] == 0
    assert figures["micro_f1"] == 0.5
    assert figures["macro_f1"] == 0.5


def test_one_name_in_two_files_is_two_labels():
    questions = [question("ner", "MAT", "one"), question("ner", "MAT", "two"), question("ner", "PRO", "two")]
    answers = ["MAT", "PRO", "PRO"]
    # MAT of one: 1; MAT of two: 0; PRO of two: 2 * 1 / (2 + 1)
    assert task_scores(questions, answers)["ner/macro_f1"] == pytest.approx((1 + 0 + 2 / 3) / 3)


def test_the_interval_is_about_the_mean_over_tasks_and_draws_documents():
    questions = [question("ner", "a")] * 6 + [question("rc", "b")] * 2
    answers = ["a", "a", "a", "x", "x", "x", "b", "x"]
    found = micro_interval(questions, answers, groups=list("uvwxyzuv"), n=200, seed=0)
    assert found.value == pytest.approx(0.5)
    assert 0 <= found.low < 0.5 < found.high <= 1
    one = micro_interval(questions, answers, groups=["d"] * 8, n=50, seed=0)
    assert one.low == one.high == 0.5
