"""Text graphs as they are distributed, written here in a few lines each."""

import gzip
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from core.data.layout import verify
from core.errors import DataError
from domains.molecules.data import layout_class
from domains.molecules.text_graphs.cora import CoraTAG, paper_text
from domains.molecules.text_graphs.csv_layout import TextGraphCSV
from domains.molecules.text_graphs.graph import GraphNode
from domains.molecules.text_graphs.multimodal_layout import MultimodalGraph
from domains.molecules.text_graphs.ogbn_arxiv import OgbnArxiv
from domains.molecules.text_graphs.pubmed import PubMedTAG
from domains.molecules.text_graphs.rule_made import Chosen, RingGraph, told, write
from domains.molecules.text_graphs.splits import node_splits
from domains.molecules.text_graphs.summaries import summary

SPLITS = ("train", "val", "test")


def zipped(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        file.write(text)


@pytest.fixture
def arxiv(tmp_path):
    zipped(tmp_path / "raw" / "edge.csv.gz", "0,1\n1,0\n2,1\n3,4\n")
    zipped(tmp_path / "raw" / "node-label.csv.gz", "1\n0\n1\n0\n1\n")
    zipped(tmp_path / "raw" / "node_year.csv.gz", "2010\n2017\n2018\n2019\n2020\n")
    papers = "".join(f"{i},{100 + i}\n" for i in range(5))
    zipped(tmp_path / "mapping" / "nodeidx2paperid.csv.gz", "node idx,paper id\n" + papers)
    zipped(
        tmp_path / "mapping" / "labelidx2arxivcategeory.csv.gz",
        "label idx,arxiv category\n0,arxiv cs na\n1,arxiv cs ai\n",
    )
    lines = [
        "200 MB\n",
        "100\tDeep nets.\tWe train.\n",
        "101\tSolvers\tWe solve\n",
        "103\tOnly title\t\n",
        "104\tA\tB\n",
    ]
    (tmp_path / "titleabs.tsv").write_text("".join(lines))
    return tmp_path


def test_arxiv_is_joined_by_paper_id_made_symmetric_and_split_by_year(arxiv):
    layouts = {split: OgbnArxiv(root=arxiv, split=split) for split in SPLITS}
    assert {s: [r.id for r in each] for s, each in layouts.items()} == {
        "train": ["0", "1"],
        "val": ["2"],
        "test": ["3", "4"],
    }
    graph = layouts["train"].graph
    assert graph.texts == ("Deep nets. We train", "Solvers. We solve", "", "Only title", "A. B")
    assert graph.edges_2E.tolist() == [[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]]
    assert layouts["train"].record(0).labels == {"arxiv cs na": 0.0, "arxiv cs ai": 1.0}
    assert verify(list(layouts.values())) == []
    assert isinstance(layouts["val"].record(0).sources["graph"], GraphNode)  # its missing text is found when it is read


def test_arxiv_says_what_is_missing_or_cut_short(arxiv):
    zipped(arxiv / "raw" / "node_year.csv.gz", "2010\n2017\n")
    with pytest.raises(DataError, match="5 labels, 2 years and 5 paper ids"):
        OgbnArxiv(root=arxiv, split="train")
    zipped(arxiv / "raw" / "node_year.csv.gz", "2010\nx\n2011\n2012\n2013\n")
    with pytest.raises(DataError, match="expected 1 columns of integers"):
        OgbnArxiv(root=arxiv, split="train")
    (arxiv / "titleabs.tsv").unlink()
    with pytest.raises(DataError, match=r"titleabs\.tsv"):
        OgbnArxiv(root=arxiv, split="train")


@pytest.fixture
def cora(tmp_path):
    classes = ["Theory", "Rule_Learning"]
    rows = [f"{i}\t0\t1\t0\t{classes[i % 2]}\n" for i in range(10)]
    (tmp_path / "cora.content").write_text("".join(rows))
    (tmp_path / "cora.cites").write_text("".join(f"{i}\t{i + 1}\n" for i in range(9)))
    folder = tmp_path / "mccallum" / "cora" / "extractions"
    folder.mkdir(parents=True)
    (folder.parent / "papers").write_text("".join(f"{i}\thttp:##host#{i}.ps\t<author>\n" for i in range(10)))
    for i in range(9):
        (folder / f"http:##host#{i}.ps").write_text(
            f"URL: x\nTitle: Paper {i}.\nAbstract: It is about {i}: all\nDate: 1\n"
        )
    (folder / "http:##host#3.ps").write_text("URL: x\nAbstract: No title here\n")
    (folder / "http:##host#4.ps").write_text("URL: x\nNote: neither\n")
    return tmp_path


def test_cora_never_takes_the_text_of_the_paper_before(cora):
    graph = CoraTAG(root=cora, split="train").graph
    assert graph.texts[2:5] == ("Paper 2. It is about 2: all", "No title here", "")
    assert graph.texts[9] == ""  # its file is missing
    assert paper_text(cora, "../secret") == ""
    assert graph.classes == ("Rule_Learning", "Theory")
    assert CoraTAG(root=cora, split="train").tables["classes"]["Rule_Learning"] == "rule learning"


def test_cora_splits_have_names_and_seeds(cora):
    parts = {split: CoraTAG(root=cora, split=split, seed=1) for split in SPLITS}
    assert [len(p) for p in parts.values()] == [6, 2, 2]
    assert parts["train"].name == "Cora TAG, random split, seed 1"
    assert verify(list(parts.values())) == []
    with pytest.raises(DataError, match="planetoid split needs 1500 nodes"):
        CoraTAG(root=cora, split="train", splits="planetoid")
    (cora / "cora.cites").write_text("1\t99\n2\t3\n")
    with pytest.raises(DataError, match="1 of 2 citations name papers"):
        CoraTAG(root=cora, split="train")


def test_a_planetoid_split_has_twenty_of_each_class():
    label = np.concatenate([np.repeat(np.arange(4), 600), [-1] * 9])
    parts = node_splits(label, kind="planetoid", seed=3)
    assert np.bincount(label[parts["train"]]).tolist() == [20] * 4
    assert [len(rows) for rows in parts.values()] == [80, 500, 1000]
    assert len(np.unique(np.concatenate(list(parts.values())))) == 1580
    assert (label[np.concatenate(list(parts.values()))] >= 0).all()
    other = node_splits(label, kind="random", seed=3)
    assert [len(rows) for rows in other.values()] == [1440, 480, 480]


@pytest.fixture
def pubmed(tmp_path):
    rows = [f"{i}\tlabel={1 + i % 3}\tw-rat=0.1\tw-use=0.2\tsummary=w-rat,w-use\n" for i in range(12)]
    (tmp_path / "Pubmed-Diabetes.NODE.paper.tab").write_text("NODE\tpaper\ncat=1,2,3:label\t...\n" + "".join(rows))
    edges = "".join(f"{i}\tpaper:{i}\t|\tpaper:{i + 1}\n" for i in range(11))
    (tmp_path / "Pubmed-Diabetes.DIRECTED.cites.tab").write_text("DIRECTED\tcites\nNO_FEATURES\n" + edges)
    records = [{"PMID": str(i), "TI": f"Title {i}.", "AB": "Rats."} for i in range(11)] + [{"PMID": "99"}]
    (tmp_path / "pubmed.json").write_text(json.dumps(records))
    return tmp_path


def test_pubmed_is_read_with_its_two_header_lines(pubmed):
    layout = PubMedTAG(root=pubmed, split="train")
    assert len(layout.graph) == 12
    assert layout.graph.texts[0] == "Title 0. Rats"
    assert layout.graph.texts[11] == ""
    assert layout.graph.edges_2E.shape == (2, 22)
    assert layout.label_names == ("experimentally induced diabetes", "type 1 diabetes", "type 2 diabetes")
    path = pubmed / "Pubmed-Diabetes.NODE.paper.tab"
    before = path.read_text()
    path.write_text(before + "77\tlabel=4\n")
    with pytest.raises(DataError, match="paper 77: label '4'"):
        PubMedTAG(root=pubmed, split="train")
    path.write_text(before)
    (pubmed / "pubmed.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match="no list of records"):
        PubMedTAG(root=pubmed, split="train")


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "pt"])
def test_multimodal_features_are_read_from_forms_that_run_no_code(suffix, tmp_path):
    arrays = {
        "features_clip": np.eye(4, 3, dtype=np.float32), "features_t5vit": np.full((4, 5), np.nan, np.float32),
        "labels": np.array([0, 1, -1, 1]), "train_mask": np.array([1, 1, 0, 0], bool),
        "val_mask": np.array([0, 0, 1, 0], bool), "test_mask": np.array([0, 0, 0, 1], bool),
    }  # fmt: skip
    for name, array in arrays.items():
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "npy":
            np.save(path, array)
        elif suffix == "safetensors":
            save_file({"x": array}, path)
        else:
            torch.save(torch.from_numpy(array), path)
    (tmp_path / "graph.bin").write_bytes(b"DGL")
    with pytest.raises(DataError, match=r"graph\.bin is DGL's own format; write its edges as a table"):
        MultimodalGraph(root=tmp_path, split="train")
    (tmp_path / "edges.csv").write_text("source,target\n0,1\n1,2\n")
    layout = MultimodalGraph(root=tmp_path, split="train")
    assert {k: v.shape for k, v in layout.graph.features.items()} == {"clip": (4, 3), "t5vit": (4, 5)}
    assert [r.id for r in layout] == ["0", "1"]
    assert all(np.isnan(v) for v in MultimodalGraph(root=tmp_path, split="val").record(0).labels.values())
    (tmp_path / f"labels.{suffix}").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(DataError, match="not one array in a form that cannot run code"):
        MultimodalGraph(root=tmp_path, split="train")


@pytest.fixture
def own(tmp_path):
    (tmp_path / "nodes.csv").write_text(
        "id,text,label,split\na,An acid. It is sour.,acid,train\nb,A base. It is sour.,base,val\n"
        "c,,acid,test\nd,A salt.,,\ne,A base.,base,train\n"
    )
    (tmp_path / "edges.csv").write_text("source,target\na,b\nb,a\na,e\n" + "d,e\n" * 20 + "a,zz\n")
    return tmp_path


def test_tables_of_ones_own(own):
    layouts = {split: TextGraphCSV(root=own, split=split) for split in SPLITS}
    assert {s: [r.id for r in each] for s, each in layouts.items()} == {
        "train": ["a", "e"],
        "val": ["b"],
        "test": ["c"],
    }
    assert layouts["train"].absent == 1
    record = layouts["train"].record(0)
    assert record.labels == {"acid": 1.0, "base": 0.0}
    said = "An acid. It is sour. Linked to 2 others, which often say: A base. It is sour."
    assert record.sources["text"] == said
    assert summary(layouts["train"].graph, 3) == "A salt. Linked to 1 others, which often say: A base."
    assert "text" not in layouts["test"].record(0).sources
    (own / "classes.csv").write_text("label,text\nacid,a sour thing\n")
    assert TextGraphCSV(root=own, split="train").tables["classes"] == {"acid": "a sour thing", "base": "base"}


def test_written_summaries_are_taken_where_there_are_some(own):
    entries = [{"id": "a", "graph": [[0, 1], [1, 0]], "summary": "Written by hand."}]
    (own / "s.json").write_text(json.dumps(entries))
    layout = TextGraphCSV(root=own, split="train", summaries=own / "s.json")
    assert layout.record(0).sources["text"] == "Written by hand."
    assert layout.record(1).sources["text"].startswith("A base. Linked to")
    (own / "s.json").write_text('[{"id": "a"}]')
    with pytest.raises(DataError, match="entry 0 lacks 'id' or 'summary'"):
        TextGraphCSV(root=own, split="train", summaries=own / "s.json")


@pytest.mark.parametrize(("file", "text", "said"), [
    ("nodes.csv", "id,text,label,split\na,x,l,tran\n", "row 2: split 'tran'"),
    ("nodes.csv", "id,text,label\na,x,l\na,y,l\n", "node 'a' is there twice"),
    ("edges.csv", "source,target\na,q\n", "1 of 1 edges name nodes that are not there, row 2 'q'"),
    ("edges.csv", "from,to\na,b\n", "missing column 'source'"),
])  # fmt: skip
def test_faults_of_tables_are_named(file, text, said, own):
    if file == "nodes.csv":
        (own / "edges.csv").write_text("source,target\na,a\n")
    (own / file).write_text(text)
    with pytest.raises(DataError, match=said):
        TextGraphCSV(root=own, split="train")


def test_the_rule_made_graph_tells_about_half_of_the_facts_and_only_true_ones(tmp_path):
    chem = pytest.importorskip("rdkit.Chem")
    smiles = [f"c1ccncc1{'C' * n}O" for n in range(1, 9)] + [f"c1ccsc1{'C' * n}N" for n in range(1, 9)]
    facts = tuple(f"fact {i}" for i in range(6))
    chosen = [Chosen(s, "pyridine" if "n" in s else "thiophene", facts, chem.MolFromSmiles(s)) for s in smiles]
    write(tmp_path, chosen, seed=0)
    layout = RingGraph(root=tmp_path, split="train")
    counts = [text.count("It contains fact") for text in layout.graph.texts]
    assert 2 < np.mean(counts) < 4
    assert told(chosen[0], 0) != told(chosen[0], 1)
    source, target = layout.graph.edges_2E
    same = layout.graph.label_N[source] == layout.graph.label_N[target]
    assert same.mean() > 0.6  # like molecules are joined
    assert layout.graph.features["structure"].shape == (16, 128)
    assert "RULE-MADE" in layout.name


@pytest.mark.parametrize(("name", "cls"), [("ogbn_arxiv", OgbnArxiv), ("cora_tag", CoraTAG), ("pubmed_tag", PubMedTAG),
                                           ("text_graph_csv", TextGraphCSV),
                                           ("multimodal_graph", MultimodalGraph)])  # fmt: skip
def test_layouts_are_found_by_name(name, cls):
    assert layout_class(name) is cls
