"""MolFM as configured: what its fused vector may depend on, runs with pictures, fine-tuning, released weights."""

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

from known_files import write

import core
from core.config.tree import load_system
from core.errors import CheckpointError, ConfigError
from core.hub import SavedModel
from core.training import cli, setup
from core.types import ModalityInput
from domains.molecules.knowledge import NeighbourProcessor
from domains.molecules.knowledge.public import load_molfm, renamed
from domains.molecules.processors import GraphProcessor

CONFIGS = Path(core.__file__).parents[1] / "configs" / "molecules" / "pretrain"
BRIEF = [
    "--data.batch_size", "8", "--trainer.max_steps", "2", "--trainer.log_every", "1", "--trainer.threads", "1",
    "--trainer.progress", "false", "--evaluation.bootstrap", "5", "--evaluation.gallery", "1",
]  # fmt: skip
MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "CCO"]


@pytest.fixture(scope="module")
def tree():
    return load_system(CONFIGS / "molfm.yaml")


@pytest.fixture
def model(tree):
    return setup.build_model(tree["model"], 0).double().eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("molfm") / "run"
    words = ["--config", "molfm", "--data.layout_args", json.dumps({"most": 100}), "--run_dir", str(folder), *BRIEF]
    assert cli.main("molecules", "pretrain", words) == 0
    return folder


def graphs(strings=MOLECULES):
    processor = GraphProcessor(vocabulary="hu2")
    return processor.collate([processor.load(text) for text in strings])


@pytest.fixture
def inputs():
    ids = torch.randint(5, 1000, (3, 9), generator=torch.Generator().manual_seed(1))
    text = ModalityInput(ids, torch.arange(9) < torch.tensor([[9], [6], [4]]))
    known = ModalityInput(
        torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]]), torch.arange(4) < torch.tensor([[4], [2], [1]])
    )
    return {"text": text, "graph": graphs(), "neighbours": known}


def fused(model, inputs):
    return model.fusion({name: model.encode(name, inp).tokens for name, inp in inputs.items()}).joint


def test_the_fused_vector_sees_no_padding(model, inputs):
    before = fused(model, inputs)
    text, known = inputs["text"], inputs["neighbours"]
    longer = graphs([*MOLECULES, "C" * 30]).rows(torch.arange(3))
    changed = {
        "text": ModalityInput(text.x.masked_fill(~text.mask, 999), text.mask),
        "graph": longer,
        "neighbours": ModalityInput(known.x.masked_fill(~known.mask, 77), known.mask),
    }
    torch.testing.assert_close(fused(model, changed), before, rtol=0, atol=1e-10)


def test_the_order_of_atoms_and_of_neighbours_changes_nothing(model, inputs):
    before, vectors = fused(model, inputs), model.embed("graph", inputs["graph"])[0]
    turned = turn_atoms(inputs["graph"])
    known = inputs["neighbours"]
    other = {**inputs, "graph": turned, "neighbours": ModalityInput(known.x.flip(1), known.mask.flip(1))}
    torch.testing.assert_close(fused(model, other), before, rtol=0, atol=1e-10)
    torch.testing.assert_close(model.embed("graph", turned)[0], vectors, rtol=0, atol=1e-6)


def turn_atoms(inp):
    """The same graphs with the real atoms of each in reverse."""
    count_V = inp.mask.sum(1)
    at_VN = torch.arange(inp.x.shape[1]).expand(inp.mask.shape)
    place_VN = torch.where(inp.mask, count_V[:, None] - 1 - at_VN, at_VN)
    x = inp.x.gather(1, place_VN[..., None].expand_as(inp.x))
    edges = place_VN.gather(1, inp.extra["edges"].flatten(1)).reshape(inp.extra["edges"].shape)
    edges = torch.where(inp.extra["edge_mask"][..., None], edges, 0)
    return ModalityInput(x, inp.mask, {**inp.extra, "edges": edges})


def test_neighbours_that_are_masked_leave_the_model_of_two_modalities(model, inputs):
    nothing = ModalityInput(inputs["neighbours"].x, torch.zeros_like(inputs["neighbours"].mask))
    two = fused(model, {name: inputs[name] for name in ("text", "graph")})
    torch.testing.assert_close(fused(model, {**inputs, "neighbours": nothing}), two, rtol=0, atol=1e-12)
    assert not torch.allclose(fused(model, inputs), two)


def test_text_alone_is_read_without_the_structure(model, inputs):
    alone = model.embed("text", inputs["text"])[0]
    together = model({name: inputs[name] for name in inputs})["text"]
    torch.testing.assert_close(torch.nn.functional.normalize(together.float(), dim=-1), alone)
    one = ModalityInput(inputs["text"].x[:1], inputs["text"].mask[:1])
    torch.testing.assert_close(model.embed("text", one)[0], alone[:1])


def test_a_run_re_ranks_draws_and_is_loaded(run):
    summary = json.loads((run / "summary.json").read_text())
    for way in ("graph_to_text", "text_to_graph"):
        for name in ("reranked", "cosine"):
            assert 0 <= summary[f"test/{name}/{way}/R@10"] <= 1
        assert summary[f"test/cosine/{way}/R@1"] == pytest.approx(summary[f"test/retrieval/{way}/R@1"])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    terms = {key.split("/")[0] for key in lines[0] if "/loss" in key}
    assert terms == {"graph-text", "cross_modal_matching", "masked_text", "graph_links"}
    report = (run / "report.html").read_text()
    for title in (
        "What the text encoder looks at",
        "Nearest structures",
        "What the knowledge graph says of a molecule",
    ):
        assert title in report
    saved = SavedModel.from_pretrained(run)
    assert isinstance(saved.processors["neighbours"], NeighbourProcessor)
    assert saved.model.encoder_of("neighbours").graph is not None


def test_retrieval_is_fine_tuned_from_it(run, tmp_path):
    words = ["--config", "molfm_retrieval", "--init_from", str(run), "--run_dir", str(tmp_path / "run"), *BRIEF]
    assert cli.main("molecules", "pretrain", [*words, "--data.layout_args", json.dumps({"most": 100})]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {key.split("/")[0] for key in lines[0] if "/loss" in key} == {"graph-text", "cross_modal_matching"}


def test_a_bundle_of_ones_own_is_trained_on(tmp_path):
    root = write(tmp_path / "bundle")
    words = ["--config", "molfm", "--data.layout", "molfm_bundle", "--data.root", str(root), "--data.layout_args", "{}"]
    words += [
        "--run_dir",
        str(tmp_path / "run"),
        "--data.max_bad_share",
        "1",
        "--data.processors.text.init_args.min_frequency",
        "1",
    ]
    assert cli.main("molecules", "pretrain", [*words, *BRIEF, "--evaluation.figures", "[]"]) == 0


def test_a_layout_without_a_graph_says_which_has_one(tmp_path, capsys):
    words = ["--config", "molfm", "--data.layout", "shipped", "--data.layout_args", json.dumps({"most": 100})]
    assert cli.main("molecules", "pretrain", [*words, "--run_dir", str(tmp_path / "run"), *BRIEF]) != 0
    assert "neighbours need a layout with a graph, such as shipped_knowledge" in capsys.readouterr().err


def released(model):
    """A state dict with the names of molfm.pth, in which every number is drawn anew."""
    rng = torch.Generator().manual_seed(5)
    width, text = 128, model.encoder_of("text")

    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    def linear(name, rows, columns):
        return {f"{name}.weight": draw(rows, columns), f"{name}.bias": draw(rows)}

    def norm(name):
        return {f"{name}.weight": draw(width), f"{name}.bias": draw(width)}

    gin = {k: draw(*v.shape) for k, v in model.encoder_of("graph").state_dict().items() if v.is_floating_point()}
    out = {f"graph_encoder.{k}": v for k, v in gin.items() if not k.startswith("pool.")}
    out |= linear("graph_proj_head", 128, width) | linear("text_proj_head", 128, width)
    out |= linear("graph_linear", width, width) | linear("mtm_head", 2, width) | linear("kg_linear", width, 64)
    out |= {"kg_encoder.ent_emb.weight": draw(8001, 64), "kg_encoder.rel_emb.weight": draw(17, 64)}
    at = "text_encoder.bert."
    out |= {
        f"{at}embeddings.word_embeddings.weight": draw(1024, width),
        f"{at}embeddings.position_ids": torch.arange(96),
    }
    out |= {f"{at}embeddings.position_embeddings.weight": draw(text.max_length, width)}
    out |= {f"{at}embeddings.token_type_embeddings.weight": draw(2, width)} | norm(f"{at}embeddings.LayerNorm")
    for i in range(text.depth + model.fusion.depth):
        layer = f"{at}encoder.layer.{i}."
        kinds = ["attention"] if i < text.depth else ["attention", "crossattention"]
        for kind in kinds:
            for part in ("query", "key", "value"):
                out |= linear(f"{layer}{kind}.self.{part}", width, width)
            out |= linear(f"{layer}{kind}.output.dense", width, width) | norm(f"{layer}{kind}.output.LayerNorm")
        out |= linear(f"{layer}intermediate.dense", 4 * width, width) | linear(f"{layer}output.dense", width, 4 * width)
        out |= norm(f"{layer}output.LayerNorm")
    return out


def test_released_weights_fill_every_parameter(model):
    tensors = released(model)
    found = load_molfm(model, tensors)
    assert found.left == []
    assert found.own == []
    filled = set(found.taken)
    assert {name for name, _ in model.named_parameters()} <= filled
    own = model.state_dict()
    torch.testing.assert_close(own["encoders.graph.gnns.1.mlp.0.weight"], tensors["graph_encoder.gnns.1.mlp.0.weight"])
    key = tensors["text_encoder.bert.encoder.layer.2.crossattention.self.key.weight"]
    torch.testing.assert_close(own["fusion.layers.0.cross_attn.key_value.weight"][:128], key)
    assert own["encoders.knowledge.entities.vector"][-1].abs().max() == 0
    assert model.encoder_of("neighbours").links.relation.shape == (16, 64)


def test_later_releases_have_other_names_and_no_graph(model):
    tensors = renamed({f"module.{k}": v for k, v in released(model).items()})
    assert "structure_encoder.x_embedding1.weight" in tensors
    later = {k: v for k, v in tensors.items() if not k.startswith("kg_")} | {"extra.weight": torch.zeros(1)}
    found = load_molfm(model, later)
    assert found.left == ["extra.weight"]
    assert found.own == [
        "encoders.knowledge.entities.vector", "encoders.knowledge.links.relation",
        "fusion.projections.neighbours.weight", "fusion.projections.neighbours.bias",
    ]  # fmt: skip


def test_a_checkpoint_that_does_not_fit_changes_nothing_and_lists_all_faults(model):
    tensors = released(model)
    del tensors["mtm_head.bias"]
    tensors["text_proj_head.weight"] = torch.zeros(4, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"text_proj_head.weight: \(4, 4\) instead of \(128, 128\).*mtm_head.bias"
    ):
        load_molfm(model, tensors)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])
    with pytest.raises(CheckpointError, match="under two names"):
        renamed({"graph_linear.bias": torch.zeros(1), "structure_linear.bias": torch.zeros(1)})


def test_a_model_of_other_parts_cannot_take_them(tree):
    other = setup.build_model(load_system(CONFIGS / "graph_text.yaml")["model"], 0)
    with pytest.raises(ConfigError, match=r"need a GIN, a core\.encoders\.PostNormText"):
        load_molfm(other, {})
