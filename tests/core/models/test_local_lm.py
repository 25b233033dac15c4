"""Language models of transformers from a local folder: the library's own logits, its cache, and what is refused."""

import pytest
import torch
import transformers

from core.errors import CheckpointError
from core.models import beam_search
from core.models.beam_search import log_probabilities
from core.models.local_lm import LocalLM

IDS = torch.tensor([[2, 3, 4, 5], [5, 2, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
CONFIGS = {
    "gpt2": lambda: transformers.GPT2Config(vocab_size=12, n_embd=16, n_layer=2, n_head=2, n_positions=24),
    "opt": lambda: transformers.OPTConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32,
        max_position_embeddings=24, word_embed_proj_dim=16,
    ),
}  # fmt: skip


@pytest.fixture(params=sorted(CONFIGS))
def saved(request, tmp_path):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[request.param]()).eval()
    model.save_pretrained(tmp_path)
    return model, tmp_path


def test_the_logits_are_the_librarys_and_the_cache_changes_nothing(saved):
    model, folder = saved
    lm = LocalLM(folder=folder).eval()
    with torch.no_grad():
        states = lm(lm.words(IDS), MASK)
        own = model(input_ids=IDS, attention_mask=MASK.long()).logits.log_softmax(-1)
        torch.testing.assert_close(log_probabilities(states[0], *lm.output), own[0], atol=1e-5, rtol=1e-5)
        state, cache = lm.begin(lm.words(IDS), MASK)
        torch.testing.assert_close(state, torch.stack([states[0, 3], states[1, 1]]))
        cache.select(torch.tensor([1, 0, 1]))
        for word in (3, 4):
            step = lm.go_on(lm.words(torch.full((3, 1), word))[:, 0], cache)
        for row, ids in zip(step, ([5, 2, 3, 4], [2, 3, 4, 5, 3, 4], [5, 2, 3, 4]), strict=True):
            whole = lm(lm.words(torch.tensor([ids])), torch.ones(1, len(ids), dtype=torch.bool))
            torch.testing.assert_close(row, whole[0, -1], atol=1e-5, rtol=1e-5)
    found = beam_search(lm, lm.words(IDS), MASK, beams=3, length=4, end_id=1)
    assert found.ids.shape[:2] == (2, 3)


def test_a_word_table_grows_and_keeps_its_rows(saved):
    model, folder = saved
    lm = LocalLM(folder=folder, tokens=20)
    assert lm.vocab_size == 20
    torch.testing.assert_close(lm.words(torch.arange(12)), model.get_input_embeddings().weight)
    fresh = LocalLM(folder=folder, pretrained=False)
    assert not torch.allclose(fresh.words(IDS), lm.words(IDS))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        LocalLM(folder=tmp_path / "none")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a causal language model"):
        LocalLM(folder=tmp_path)
