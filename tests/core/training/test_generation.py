"""Texts told from another text: an overfit toy is told freely as it was taught, and pads change nothing."""

import pytest
import torch

from core.config.schema import DataSettings
from core.data.datamodule import DataModule
from core.data.layout import Layout, Record
from core.data.text import SEP, TextProcessor
from core.encoders import TextTransformer
from core.errors import ConfigError
from core.models import DualEncoder, SharedWordDecoder
from core.models.text_decoder import caption_greedily
from core.objectives import Captioning, Objective, Step
from core.training.generation import Teller, before_end
from core.training.precision import Compute

PAIRS = {"one two": "red", "three": "deep blue sea", "four five six": "green tea", "seven": "blue"}
SIZES = {"vocab_size": 300, "width": 32, "depth": 1, "heads": 4}
TELLER = Teller("question", "answer", "tell", 12)


class Pairs(Layout):
    name, licence, source = "pairs", "none", "here"

    def __len__(self):
        return len(PAIRS) + 1

    def record(self, index):
        if index == len(PAIRS):
            return Record("alone", "alone", {"question": "nothing to say"})
        question, answer = list(PAIRS.items())[index]
        return Record(question, question, {"question": question, "answer": answer})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    question = TextProcessor(vocab_size=300, max_length=12, min_frequency=1)
    answer = TextProcessor(vocab_size=300, max_length=12, min_frequency=1)
    question.fit([*PAIRS, *PAIRS.values()])
    answer.adopt(question)
    made = DataModule(
        {s: Pairs(root=root, split=s) for s in ("train", "val", "test")},
        {"question": question, "answer": answer}, DataSettings(batch_size=3, prepare_workers=0), seed=0,
    )  # fmt: skip
    made.prepare(["train", "val", "test"], bad_csv=root / "bad.csv")
    return made


def build():
    torch.manual_seed(0)
    return DualEncoder(
        encoders={"text": TextTransformer(max_length=16, prefix=1, **SIZES)},
        modalities={"question": "text", "answer": "text"},
        dim=32,
        heads={"tell": SharedWordDecoder(encoder="text", max_length=12, **SIZES)},
    )


@pytest.fixture(scope="module")
def taught(data):
    model, batch = build(), next(iter(data.eval_loader("train", batch_size=8)))
    objective = Objective(terms=[Captioning(text="answer", image="question", head="tell")])
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for index in range(60):
        step = Step(model=model, batch=batch, index=index, generator=torch.Generator().manual_seed(index))
        loss, _ = objective(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


CPU = Compute(device=torch.device("cpu"), precision="32", threads=1)


def test_an_overfit_model_tells_freely_what_it_tells_with_the_answer_in_view(taught, data):
    told = TELLER.tell(taught, data, "train", CPU)
    assert told.rows == [0, 1, 2, 3]  # the record without an answer is none of them
    assert told.source == list(PAIRS)
    assert told.free == told.forced == told.reference == list(PAIRS.values())


def test_an_untaught_model_is_wrong_and_still_tells_every_row(data):
    told = TELLER.tell(build().eval(), data, "train", CPU)
    assert told.free != told.reference
    assert len(told.free) == 4


def test_rows_are_told_alike_whatever_they_are_batched_with(taught, data):
    batch = next(iter(data.eval_loader("train", batch_size=8)))
    inp, decoder = batch.inputs["question"], taught.heads["tell"]
    with torch.no_grad():
        together = taught.encode("question", inp).tokens
        whole = caption_greedily(decoder, together, start_id=2, end_id=SEP, length=12)
        for row in range(4):
            length = int(inp.mask[row].sum())
            alone = inp.rows(torch.tensor([row]))
            alone.x, alone.mask = alone.x[:, :length], alone.mask[:, :length]
            ids = caption_greedily(decoder, taught.encode("question", alone).tokens, start_id=2, end_id=SEP, length=12)
            assert list(before_end(ids)) == list(before_end(whole[row : row + 1]))


def test_pads_change_no_loss(taught, data):
    batch = next(iter(data.eval_loader("train", batch_size=8)))
    term = Captioning(text="answer", image="question", head="tell")

    def loss():
        return term(Step(model=taught, batch=batch, index=0, generator=torch.Generator()))["loss"]

    before = loss()
    for name in ("question", "answer"):
        inp = batch.inputs[name]
        inp.x[~inp.mask] = 7  # what stands under a pad is not read
        extra = torch.full((len(inp), 2), 9)
        inp.x, inp.mask = (
            torch.cat([inp.x, extra], 1),
            torch.cat([inp.mask, torch.zeros_like(extra, dtype=torch.bool)], 1),
        )
    torch.testing.assert_close(loss(), before, rtol=1e-5, atol=1e-6)


def test_order_of_the_told_words_matters(taught, data):
    """The published decoder has no positions: with one token told twice it could not tell first from second."""
    batch = next(iter(data.eval_loader("train", batch_size=8)))
    tokens = taught.encode("question", batch.inputs["question"]).tokens
    ids = torch.full((len(tokens.x), 5), 20)
    states = taught.heads["tell"](ids, None, None, tokens)
    assert (states[:, 0] - states[:, 3]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("teller", "said"),
    [(Teller("q", "answer", "tell", 9), "'q' is not among"), (Teller("question", "answer", "say", 9), "heads.say"),
     (Teller("question", "answer", "tell", 40), "takes 2 to 12")],
)  # fmt: skip
def test_what_a_model_cannot_tell_is_refused(teller, said):
    with pytest.raises(ConfigError, match=said):
        teller.check(build())
