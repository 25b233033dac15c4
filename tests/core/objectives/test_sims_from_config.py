"""Every similarity, view and term of this part is built from plain YAML and runs through a real model."""

from __future__ import annotations

import pytest
import torch
import yaml

from core.config.build import build
from core.config.check import FaultFinder
from core.encoders import ImageTransformer, TextTransformer
from core.models import DualEncoder
from core.objectives import Step, Term
from core.types import Batch, ModalityInput

HEADS = """
codes: {class_path: core.models.Codebook, init_args: {codes: 11, dim: 8}}
ask_image: {class_path: core.models.QueryMap, init_args: {width: 12, dim: 8}}
ask_text: {class_path: core.models.QueryMap, init_args: {width: 12, dim: 8}}
words: {class_path: core.models.WordCodebook, init_args: {encoder: reader, frozen: true}}
map_image: {class_path: core.models.MLPProjection, init_args: {width: 12, dim: 12}}
map_text: {class_path: core.models.MLPProjection, init_args: {width: 12, dim: 12}}
fewer: {class_path: core.nn.TokenLearner, init_args: {width: 12, tokens: 2, groups: 2}}
no_image: {class_path: core.models.Placeholder, init_args: {dim: 6}}
"""

TERMS = {
    "FILIP": """
class_path: core.objectives.Pair
init_args:
  rows: {class_path: core.objectives.TokenView, init_args: {modality: image}}
  keys: {class_path: core.objectives.TokenView, init_args: {modality: text}}
  similarity: {class_path: core.objectives.TokenMax, init_args: {memory_mib: 64}}
""",
    "FILIP with the best tokens": """
class_path: core.objectives.Pair
init_args:
  rows:
    class_path: core.objectives.TopTokens
    init_args:
      view: {class_path: core.objectives.TokenView, init_args: {modality: image}}
      against: {class_path: core.objectives.TokenView, init_args: {modality: text}}
      share: 0.5
  keys: {class_path: core.objectives.TokenView, init_args: {modality: text}}
  similarity: {class_path: core.objectives.TokenMax}
""",
    "Wukong": """
class_path: core.objectives.Pair
init_args:
  rows: {class_path: core.objectives.TokenView, init_args: {modality: image, reduce: fewer}}
  keys: {class_path: core.objectives.TokenView, init_args: {modality: text}}
  similarity: {class_path: core.objectives.TokenMax}
""",
    "NEVLP": """
class_path: core.objectives.Pair
init_args:
  rows: {class_path: core.objectives.TokenView, init_args: {modality: image}}
  keys: text
  similarity: {class_path: core.objectives.QueryMax}
""",
    "FDT": """
class_path: core.objectives.Pair
init_args:
  rows:
    class_path: core.objectives.DiscreteTokens
    init_args:
      modality: image
      query: ask_image
      temperature: {class_path: core.objectives.Staircase, init_args: {start: 1.0, factor: 0.5, every: 10}}
  keys:
    class_path: core.objectives.DiscreteTokens
    init_args:
      modality: text
      query: ask_text
      temperature: {class_path: core.objectives.Staircase, init_args: {start: 1.0, factor: 0.5, every: 10}}
""",
    "LexVLA": """
class_path: core.objectives.Pair
init_args:
  rows: {class_path: core.objectives.Lexical, init_args: {modality: image, mapper: map_image}}
  keys: {class_path: core.objectives.Lexical, init_args: {modality: text, mapper: map_text}}
""",
    "LexVLA's penalty": """
class_path: core.objectives.Overuse
init_args:
  view: {class_path: core.objectives.Lexical, init_args: {modality: image, mapper: map_image}}
  penalty: {class_path: core.objectives.UsageEntropy}
""",
    "Symile": """
class_path: core.objectives.Symile
init_args:
  modalities: [image, text, {class_path: core.objectives.PrefixToken, init_args: {modality: image, index: 1}}]
  columns: {class_path: core.objectives.CartesianKeys}
  missing: {class_path: core.objectives.Placeholders, init_args: {heads: {image: no_image}}}
  rescale: true
""",
    "CMPM's similarity": """
class_path: core.objectives.Pair
init_args:
  rows: image
  keys: text
  similarity: {class_path: core.objectives.Projection}
""",
}


@pytest.fixture
def step() -> Step:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DualEncoder(
            encoders={
                "eye": ImageTransformer(image_size=16, patch=8, channels=1, width=12, depth=1, heads=2, class_token=2),
                "reader": TextTransformer(vocab_size=9, width=12, depth=1, heads=2),
            },
            modalities={"image": "eye", "text": "reader"},
            dim=6,
            heads={name: build(node) for name, node in yaml.safe_load(HEADS).items()},
        )
        mask = torch.arange(5) < torch.tensor([5, 2, 3, 1])[:, None]
        inputs = {
            "image": ModalityInput(torch.randn(3, 1, 16, 16)),
            "text": ModalityInput(torch.randint(9, (4, 5)), mask),
        }
    present = {"image": torch.tensor([1, 1, 0, 1]).bool(), "text": torch.ones(4).bool()}
    batch = Batch(list("abcd"), inputs, present, keys={"sample": torch.arange(4)})
    return Step(model=model, batch=batch, index=0, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_built_from_yaml_and_trains_the_model(name, step):
    node = yaml.safe_load(TERMS[name])
    finder = FaultFinder()
    finder.node("term", node, Term)
    assert finder.faults == []
    term = build(node)
    values = term(step)
    assert values["loss"].isfinite()
    values["loss"].backward()
    patch = step.model.encoders["eye"].stem
    assert any(p.grad is not None and p.grad.any() for p in patch.parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in step.model.parameters())
    term.after_step(step.model, 0)
