"""Every system of this part as a configuration: checked, built, and trained for three steps on tiny encoders."""

from __future__ import annotations

import pytest
import torch
import yaml

from core.config.build import build
from core.config.check import FaultFinder
from core.models import DualEncoder
from core.objectives import Objective, Step, Term
from core.types import Batch, ModalityInput

ROWS, VOCAB = 6, 40

ENCODERS = """
  xray: {class_path: core.encoders.ImageTransformer,
         init_args: {image_size: 8, patch: 2, channels: 1, width: 12, depth: 2, heads: 2}}
  text: {class_path: core.encoders.TextTransformer,
         init_args: {vocab_size: 40, max_length: 12, width: 12, depth: 1, heads: 2, prefix: 1}}
"""
TOWERS = (
    "class_path: core.models.DualEncoder\ninit_args:\n dim: 8\n"
    " modalities: {xray: xray, local: xray, text: text, german: text}\n encoders:" + ENCODERS.replace("\n", "\n ")
)
CO_ATTENTION = """
 fusion: {class_path: core.fusion.CoAttention,
          init_args: {width: 12, depth: 2, heads: 2, dropout: 0.0, inputs: {xray: 12, text: 12}}}
"""
IRRA_FUSION = """
 fusion: {class_path: core.fusion.QueryFusion, init_args: {width: 12, depth: 1, heads: 2, inputs: {text: 12, xray: 12}}}
"""
CAPTION_TOWERS = (
    TOWERS.replace("core.encoders.TextTransformer", "core.encoders.CaptionTextTransformer")
    + """
 heads:
  pool: {class_path: core.nn.QueryPool, init_args: {width: 8, heads: 2, queries: 5, context_width: 12}}
  caption: {class_path: core.models.CaptionDecoder,
            init_args: {width: 12, depth: 1, heads: 2, vocab_size: 40, context_width: 8}}
"""
)
JOINT = """
class_path: core.models.DualEncoder
init_args:
 dim: 8
 modalities: {xray: xray, depth: depth, classes: classes, ecg: ecg}
 encoders:
  xray: {class_path: core.encoders.PatchAdapter, init_args: {size: [8, 8], patch: [2, 2], channels: 1, width: 12}}
  depth: {class_path: core.encoders.ImageTransformer,
          init_args: {image_size: 8, patch: 2, channels: 1, width: 12, depth: 1, heads: 2}}
  classes: {class_path: core.encoders.ClassPatchAdapter,
            init_args: {size: [8, 8], patch: [2, 2], classes: 5, width: 12, embedding: 3}}
  ecg: {class_path: core.encoders.PatchAdapter, init_args: {size: [16], patch: [4], channels: 1, width: 12}}
 fusion: {class_path: core.fusion.JointTransformer,
          init_args: {width: 16, depth: 2, heads: 2, inputs: {xray: 12, depth: 12, classes: 12, ecg: 12}}}
"""
TASK = "inputs: [xray, depth, classes, ecg], input_width: 16, width: 12, depth: 1, heads: 2"
CODES = """
class_path: core.models.DualEncoder
init_args:
 dim: 8
 modalities: {codes: codes, text: text}
 encoders:
  codes: {class_path: core.encoders.TokenAdapter, init_args: {vocab_size: 20, grid: [4, 4], width: 12}}
  text: {class_path: core.encoders.TokenAdapter, init_args: {vocab_size: 40, grid: [12], width: 12}}
 fusion: {class_path: core.fusion.JointTransformer,
          init_args: {width: 12, depth: 1, heads: 2, inputs: {codes: 12, text: 12}}}
"""
DISTIL = (
    TOWERS
    + """
 heads:
  dino: {class_path: core.models.DistillationHead,
         init_args: {width: 12, prototypes: 16, hidden: 10, bottleneck: 6, layers: 2}}
  mask: {class_path: core.models.MaskToken, init_args: {width: 12}}
"""
)
EMA = "{ema: {class_path: core.objectives.MomentumTeacher, init_args: {decay: 0.9}}}"
MASKING = """{class_path: core.objectives.TokenMasking, init_args: {token: mask,
    mask: {class_path: core.objectives.BlockMask, init_args: {ratio: 0.3, spread: 0.2}}}}"""

SYSTEMS = {
    "mae": (
        TOWERS,
        """
- class_path: core.objectives.MaskedImage
  init_args:
    modality: xray
    decoder: {class_path: core.objectives.MaskedImageDecoder,
              init_args: {input_width: 12, patch: [2, 2], grid: [4, 4], channels: 1, width: 12, depth: 1, heads: 2}}
    patch_loss: {class_path: core.objectives.PixelMSE}
    mask: {class_path: core.objectives.BlockMask, init_args: {ratio: 0.5}}
""",
        "{}",
    ),
    "irra_mlm": (
        TOWERS + IRRA_FUSION,
        """
- class_path: core.objectives.MaskedText
  init_args: {modality: text, width: 12, vocab_size: 40, ratio: 0.4,
              source: {class_path: core.objectives.FromFusion, init_args: {partner: xray}}}
""",
        "{}",
    ),
    "soft_mlm": (
        TOWERS
        + CO_ATTENTION
        + " heads: {words: {class_path: core.objectives.WordHead, init_args: {width: 12, vocab_size: 40}}}",
        """
- class_path: core.objectives.SoftMaskedText
  init_args: {modality: text, width: 12, vocab_size: 40, ratio: 0.4, teacher: ema, head: words,
              alpha: {class_path: core.objectives.Ramp, init_args: {start: 0.0, end: 0.4, steps: 2}},
              source: {class_path: core.objectives.FromFusion, init_args: {partner: xray}}}
""",
        EMA,
    ),
    "multimae": (
        JOINT,
        f"""
- class_path: core.objectives.MultiModalMasked
  init_args:
    budget: {{class_path: core.objectives.DirichletBudget, init_args: {{visible: 14, subsets: true}}}}
    balance: {{class_path: core.objectives.LearnedUncertainty,
               init_args: {{tasks: [pixels, norm, depth, classes, ecg]}}}}
    tasks:
      pixels: {{class_path: core.objectives.PatchTask,
                init_args: {{modality: xray, patch: [2, 2], grid: [4, 4], channels: 1, {TASK}}}}}
      norm: {{class_path: core.objectives.PatchTask,
              init_args: {{modality: xray, patch: [2, 2], grid: [4, 4], channels: 1, {TASK},
                           patch_loss: {{class_path: core.objectives.NormPixelMSE}}}}}}
      depth: {{class_path: core.objectives.PatchTask,
               init_args: {{modality: depth, patch: [2, 2], grid: [4, 4], channels: 1, {TASK},
                            patch_loss: {{class_path: core.objectives.PixelL1}}}}}}
      classes: {{class_path: core.objectives.PatchTask,
                 init_args: {{modality: classes, patch: [2, 2], grid: [4, 4], channels: 1, {TASK},
                              patch_loss: {{class_path: core.objectives.ClassCE, init_args: {{classes: 5}}}}}}}}
      ecg: {{class_path: core.objectives.PatchTask,
             init_args: {{modality: ecg, patch: [4], grid: [4], channels: 1, {TASK}}}}}
""",
        "{}",
    ),
    "4m": (
        CODES,
        """
- class_path: core.objectives.CrossModalMasked
  init_args:
    reduction: {class_path: core.objectives.PerToken}
    budget:
      class_path: core.objectives.MixtureBudget
      init_args:
        inputs: 8
        targets: 8
        components:
          - {class_path: core.objectives.Component,
             init_args: {inputs: {codes: 1.0, text: 1.0}, targets: {codes: 1.0, text: 1.0}}}
          - {class_path: core.objectives.Component, init_args: {inputs: {codes: 1000.0}, targets: {text: 0.5}}}
    decoder:
      class_path: core.objectives.CodeDecoder
      init_args:
        input_width: 12
        width: 12
        depth: 1
        heads: 2
        tasks:
          codes: {class_path: core.objectives.GridCodes, init_args: {vocab_size: 20, grid: [4, 4], width: 12}}
          text: {class_path: core.objectives.SpanCodes,
                 init_args: {vocab_size: 40, max_length: 20, width: 12, first_sentinel: 30, sentinels: 10,
                             keep: {class_path: core.objectives.UniformKeep}}}
""",
        "{}",
    ),
    "tips": (
        DISTIL,
        f"""
- {{class_path: core.objectives.Pair, init_args: {{rows: xray, keys: text}}}}
- class_path: core.objectives.SelfDistillation
  init_args:
    teacher: ema
    head: dino
    prototypes: 16
    teacher_views: [xray]
    student_views:
      - {{class_path: core.objectives.Pooled, init_args: {{modality: local}}}}
      - {{class_path: core.objectives.MaskedPooled, init_args: {{modality: xray, masking: {MASKING}}}}}
    teacher_temperature: {{class_path: core.objectives.Ramp, init_args: {{start: 0.04, end: 0.07, steps: 2}}}}
- class_path: core.objectives.MaskedSelfDistillation
  init_args: {{teacher: ema, head: dino, prototypes: 16, views: [xray], masking: {MASKING}}}
""",
        EMA,
    ),
    "coca": (
        CAPTION_TOWERS,
        """
- class_path: core.objectives.Pair
  init_args: {rows: {class_path: core.objectives.Query, init_args: {modality: xray, head: pool}}, keys: text}
- class_path: core.objectives.Captioning
  init_args: {text: text, image: xray, head: caption,
              context: {class_path: core.objectives.QueryContext, init_args: {head: pool, first: 1}}}
  weight: 2.0
""",
        "{}",
    ),
    "blip_generation": (
        TOWERS
        + """
 heads: {lm: {class_path: core.models.WordDecoder, init_args: {width: 12, depth: 1, heads: 2, vocab_size: 40}}}
""",
        "- {class_path: core.objectives.Captioning, init_args: {text: text, image: xray, head: lm}}",
        "{}",
    ),
    "mixreorg": (
        TOWERS,
        """
- {class_path: core.objectives.Pair, init_args: {rows: xray, keys: text}}
- class_path: core.objectives.Pair
  init_args:
    rows: {class_path: core.objectives.Restored, init_args: {mixing: {class_path: core.objectives.PatchMixing,
           init_args: {modality: xray, size: 2, layer: 1}}}}
    keys: text
- class_path: core.objectives.MixedSegmentation
  init_args: {text: text, mixing: {class_path: core.objectives.PatchMixing,
              init_args: {modality: xray, size: 2, layer: 1}}}
""",
        "{}",
    ),
    "1_to_k_matching": (
        TOWERS + CO_ATTENTION,
        """
- class_path: core.objectives.Matching
  init_args: {first: xray, second: [text, german], width: 24,
              negatives: {class_path: core.objectives.WorstAlignedNegatives, init_args: {temperature: 0.1}}}
""",
        "{}",
    ),
}

NOT_READ = {"blip_generation": {"text"}}  # its decoder reads ids


def batch() -> Batch:
    rng = torch.Generator().manual_seed(5)
    ids = torch.randint(5, 30, (ROWS, 9), generator=rng)
    ids[:, 0], ids[:, -1] = 2, 3
    mask = torch.ones(ROWS, 9, dtype=torch.bool)
    ids[0, 6:], mask[0, 6:] = 0, False
    images = torch.randn(4, ROWS, 1, 8, 8, generator=rng)
    inputs = {
        "xray": ModalityInput(images[0]),
        "local": ModalityInput(images[1][..., :4, :4]),
        "depth": ModalityInput(images[2][:4]),
        "classes": ModalityInput(torch.randint(-1, 5, (ROWS, 1, 8, 8), generator=rng).float()),
        "ecg": ModalityInput(torch.randn(ROWS, 1, 14, generator=rng), torch.arange(14) < torch.tensor([[14], [6]] * 3)),
        "text": ModalityInput(ids, mask),
        "german": ModalityInput(ids.flip(0)[:, :7], mask.flip(0)[:, :7]),
        "codes": ModalityInput(torch.randint(0, 20, (5, 4, 4), generator=rng)),
    }
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in inputs}
    present["depth"][:2] = False
    present["codes"][1] = False
    return Batch([str(i) for i in range(ROWS)], inputs, present, keys={"sample": torch.arange(ROWS)})


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_a_configuration_that_trains(name):
    model_yaml, terms_yaml, teachers_yaml = SYSTEMS[name]
    model_node, terms, teachers = (yaml.safe_load(text) for text in (model_yaml, terms_yaml, teachers_yaml))
    finder = FaultFinder()
    finder.node("model", model_node, DualEncoder)
    for i, node in enumerate(terms):
        finder.node(f"objectives.{i}", {k: v for k, v in node.items() if k != "weight"}, Term)
    finder.raise_if_any(name)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(model_node)
        objective = Objective(
            terms=[build({k: v for k, v in node.items() if k != "weight"}) for node in terms],
            weights=[node.get("weight", 1.0) for node in terms],
            teachers={key: build(node) for key, node in teachers.items()},
        )
        objective.attach(model)
        objective.train()
        parameters = [p for p in (*model.parameters(), *objective.parameters()) if p.requires_grad]
        read, losses = {name for name in model.reads if name in terms_yaml}, []
        for index in range(3):
            step = Step(
                model=model,
                batch=batch(),
                index=index,
                generator=torch.Generator().manual_seed(3),
                teachers=objective.teacher_models(),
            )
            loss, logs = objective(step)
            model.zero_grad()
            objective.zero_grad()
            loss.backward()
            assert torch.isfinite(loss)
            assert all(torch.isfinite(value) for value in logs.values())
            for encoder in {model.reads[m] for m in read} - NOT_READ.get(name, set()):
                grads = [p.grad for p in model.encoders[encoder].parameters() if p.grad is not None]
                assert any(g.any() for g in grads), encoder
                assert all(g.isfinite().all() for g in grads), encoder
            with torch.no_grad():  # what Adam's first step does, without loading an optimiser
                for p in parameters:
                    p -= 0 if p.grad is None else 0.01 * p.grad.sign()
            objective.after_step(model, index + 1)
            losses.append(float(loss.detach()))
    if name not in {"soft_mlm", "tips"}:  # their targets move
        assert losses[-1] < losses[0]
