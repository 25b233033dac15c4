"""Roles of tokens: aligned with their words, also when cut; a table of zeros is the plain encoder."""

import numpy as np
import pytest
import torch

from core.data.text import CLS, SEP
from core.encoders import TextTransformer
from core.errors import ConfigError, DataError
from core.types import ModalityInput
from domains.molecules.facts.encoder import FactTransformer
from domains.molecules.facts.fact import Fact, Statement
from domains.molecules.facts.linear import MARKERS, OBJECT
from domains.molecules.facts.processors import FactProcessor, SentenceProcessor

BN = Statement(
    (Fact("Arvite", "found in", "Delhi", (("year", "1811"),)), Fact("Arvite", "color", "red")), "bn", "আর্ভাইট লাল রঙের।"
)
EN = Statement((Fact("Belnite", "has part", "tin"),), "en", "Belnite is made of tin.", "Use")
SIZES = {"vocab_size": 500, "max_length": 64, "width": 16, "depth": 2, "heads": 2, "prefix": 1}


@pytest.fixture(scope="module")
def processor():
    made = FactProcessor(vocab_size=500, max_length=64)
    made.fit([BN.source(), EN.source(), "broken"])
    return made


def test_every_token_has_the_role_of_its_segment(processor):
    sample = processor.load(BN.source())
    want = [0]
    for part in processor.segments(BN):
        count = len(processor.tokenizer.encode(f"{part.marker} {part.text}".strip(), add_special_tokens=False).ids)
        piece = len(processor.tokenizer.encode(f" {part.text}", add_special_tokens=False).ids)
        assert count >= piece
        want += [part.role] * (piece + bool(part.marker))
    assert sample["roles"].tolist() == [*want, 0]
    markers = {processor.tokenizer.token_to_id(m): role for m, role in MARKERS.items()}
    at = [(int(i), int(r)) for i, r in zip(sample["ids"], sample["roles"]) if int(i) in markers]
    assert len(at) == 7
    assert all(markers[i] == role for i, role in at)


@pytest.mark.parametrize("length", [3, 9, 17, 30])
def test_roles_stay_with_their_words_when_the_line_is_cut(processor, length):
    short = FactProcessor(vocab_size=500, max_length=length)
    short.adopt(processor)
    cut, whole = short.load(BN.source()), processor.load(BN.source())
    assert len(cut["ids"]) == length
    assert cut["ids"][-1] == SEP
    for name in ("ids", "roles", "facts"):
        np.testing.assert_array_equal(cut[name][:-1], whole[name][: length - 1])
    assert int(cut["dropped"]) == len(whole["ids"]) - length


def test_a_batch_is_padded_with_no_role(processor):
    inp = processor.collate([processor.load(s.source()) for s in (EN, BN)])
    short = len(processor.load(EN.source())["ids"])
    assert inp.extra["roles"].shape == inp.x.shape
    assert not inp.extra["roles"][0, short:].any()
    assert not inp.mask[0, short:].any()
    assert (inp.x[:, 0] == CLS).all()


def encoders(**more):
    torch.manual_seed(0)
    plain = TextTransformer(**SIZES)
    told = FactTransformer(**SIZES, **more)
    told.load_state_dict(plain.state_dict(), strict=False)
    return plain.eval(), told.eval()


@pytest.mark.parametrize("facts", [0, 3])
def test_tables_of_zeros_are_the_plain_encoder(processor, facts):
    plain, told = encoders(facts=facts)
    inp = processor.collate([processor.load(s.source()) for s in (EN, BN)])
    assert torch.equal(plain(inp).tokens.x, told(inp).tokens.x)
    told.role_embedding.weight.data[OBJECT] = 1.0
    changed = (plain.embed(inp).x - told.embed(inp).x).abs().sum(-1) > 0
    assert torch.equal(changed, inp.extra["roles"] == OBJECT)


def test_facts_beyond_the_table_count_as_the_last(processor):
    _, told = encoders(facts=1)
    told.fact_embedding.weight.data[1] = 1.0
    inp = processor.collate([processor.load(BN.source())])
    before = told.embed(inp).x
    inp.extra["facts"] = inp.extra["facts"].clamp(max=1)
    assert torch.equal(before, told.embed(inp).x)
    with pytest.raises(DataError, match="one role per id"):
        told(ModalityInput(inp.x, inp.mask, {"roles": inp.x[:, :2]}))


def test_sentences_share_the_vocabulary_and_may_be_written_in_devanagari(processor):
    sentence = SentenceProcessor(vocab_size=500, max_length=64, of="facts")
    sentence.adopt(processor)
    assert sentence.decode(sentence.load(BN.source())["ids"]).strip() == BN.sentence
    unified = SentenceProcessor(vocab_size=500, max_length=64, script="devanagari", of="facts")
    unified.adopt(processor)
    assert unified.decode(unified.load(BN.source())["ids"]).strip() == "आर्भाइट लाल रङेर।"
    assert unified.shown_text(BN.source()) == BN.sentence
    with pytest.raises(ConfigError, match="valid: native, devanagari"):
        SentenceProcessor(script="latin", of="facts")
    with pytest.raises(ConfigError, match="valid: grouped, flat"):
        FactProcessor(structure="tree")
