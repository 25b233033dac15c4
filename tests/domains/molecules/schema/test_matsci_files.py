"""The eight files of MatSci-NLP, in their own layout: every question by hand, splits, shares and bad records."""

import json

import pytest
from matsci_files import COMIC, RELATION, TEXT, write_matsci

from core.data.layout import TrainingPlan, verify
from core.data.text import CLS
from core.errors import ConfigError, DataError
from domains.molecules.schema.annotated import questions_of
from domains.molecules.schema.layout import MatSci
from domains.molecules.schema.processors import PromptProcessor
from domains.molecules.schema.question import TASKS, read_question
from domains.molecules.schema.rule_made import FILES, RuleMadeMatSci, write

MENTION = RELATION["relationMentions"][0]


@pytest.fixture
def root(tmp_path):
    return write_matsci(tmp_path / "matsci")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write(folder, documents=40)
    return folder


def asked(layout):
    questions = [read_question(record.sources["prompt"]) for record in layout]
    return {(q.inventory, q.span, q.schema, q.answer) for q in questions}


def test_every_annotation_is_a_question_and_nothing_else_is(root):
    assert asked(MatSci(root=root, split="train")) == {
        ("matscholar/ner", "TiO2", "", "MAT"), ("matscholar/ner", "thin film", "", "DSC"),
        ("matscholar/ner", "CVD", "", "SMT"),
        ("sofc_token/ner", "Ni YSZ", "", "MATERIAL"), ("sofc_token/ner", "800 C", "", "VALUE"),
        ("sofc_token/sf", "Ni YSZ", "", "anode_material"), ("sofc_token/sf", "800 C", "", "working_temperature"),
        ("sofc_sent/sc", "", "", "experiment"), ("glass_non_glass/pc", "", "", "glass"),
        ("sc_comics/ner", "MgB2", "", "Main"), ("sc_comics/ner", "doped", "", "Doping"),
        ("sc_comics/ner", "C", "", "Element"),
        ("sc_comics/ner", "T c", "", "SC"), ("sc_comics/ner", "35 K", "", "Value"),
        ("sc_comics/rc", "T c ; 35 K", "SC,Value", "Equivalent"),
        ("sc_comics/rc", "doped ; MgB2", "Doping,Main", "Target"),
        ("sc_comics/ee", "doped ; C", "Doping", "Dopant"),
        ("synthesis_procedures/ner", "Stir", "", "Operation"), ("synthesis_procedures/ner", "water", "", "Material"),
        ("synthesis_procedures/ee", "Stir ; water", "Operation", "Solvent_Material"),
        ("structured_re/rc", "ZnSb ; 3.0 V", "", "Voltage"),
        ("synthesis_actions/sar", "stored", "", "Non-altering"),
    }  # fmt: skip


def test_a_question_knows_where_its_span_is(root):
    for record in MatSci(root=root, split="train"):
        question = read_question(record.sources["prompt"])
        first = question.span.partition(" ; ")[0]
        assert question.text[question.at :].startswith(first)


def test_labels_are_a_table_of_all_documents(root):
    labels = MatSci(root=root, split="train").tables["labels"]
    assert labels["sofc_token/ner"] == "DEVICE,MATERIAL,VALUE"  # DEVICE is in a test document alone
    assert labels["glass_non_glass/pc"] == "glass,not glass"


def test_an_annotation_outside_its_text_is_a_bad_record_and_the_others_stay():
    broken = {**COMIC, "t_span_dict": {**COMIC["t_span_dict"], "T3": [16, len(TEXT) + 5]}}
    found = questions_of("sc_comics", broken)
    faults = [str(item) for item in found if isinstance(item, DataError)]
    assert len(faults) == 2  # the element, and the event that names it
    assert "the span of T3, 16 to 40, is not in the text of 35 characters" in faults[0]
    assert len(found) == 8


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("sofc_token", [["a"], ["O", "O"], ["O"]], "equal length"),
        ("glass_non_glass", ["A text", 2], "label is 2; expected one of \\[0, 1\\]"),
        ("sofc_sent", ["", 1], "expected a text"),
        ("matscholar", ["a b", ["O"]], "expected an object token"),
        ("structured_re", {"sentText": "x"}, "'relationMentions' is missing"),
        ("structured_re", {**RELATION, "relationMentions": [{**MENTION, "relText": "a,b"}]}, "has a comma"),
        ("synthesis_actions", "nonsense", "TypeError"),
    ],
)  # fmt: skip
def test_a_broken_document_says_what_is_wrong(name, row, said):
    with pytest.raises(DataError, match=said):
        questions_of(name, row)


def test_a_bad_line_is_a_record_that_fails_when_it_is_read(root):
    path = root / "dataset" / "structured_re.json"
    path.write_text("{broken\n" + path.read_text().split("\n", 1)[1])
    layout = MatSci(root=root, split="train", collections=["structured_re"])
    with pytest.raises(DataError, match=r"structured_re\.json, document 1"):
        read_question(layout.record(0).sources["prompt"])


def test_files_of_another_form_are_named(root):
    path = root / "dataset" / "sofc_sent.json"
    path.write_text(json.dumps({"columns": ["sents"], "index": [], "data": []}))
    with pytest.raises(DataError, match=r"sofc_sent\.json: columns are \['sents'\]; expected sents, sent_labels"):
        MatSci(root=root, split="train")
    path.write_text("[1")
    with pytest.raises(DataError, match=r"sofc_sent\.json: not JSON"):
        MatSci(root=root, split="train")


def test_arguments_are_checked(root):
    with pytest.raises(ConfigError, match="did you mean 'sc_comics'"):
        MatSci(root=root, split="train", collections=["sc_comic"])
    with pytest.raises(ConfigError, match="train_share: is 0"):
        MatSci(root=root, split="train", train_share=0)
    with pytest.raises(DataError, match="dataset is empty here"):
        MatSci(root=root.parent, split="train")


def test_shares_of_the_training_part_are_nested_and_the_test_is_the_same(made):
    ids = {
        share: {r.id for r in MatSci(root=made, split="train", train_share=share)} for share in (0.01, 0.1, 0.5, 1.0)
    }
    assert ids[0.01] < ids[0.1] < ids[0.5] < ids[1.0]
    assert {name.rsplit("-", 2)[0] for name in ids[0.01]} == set(FILES)  # every file has a document
    tests = [[r.id for r in MatSci(root=made, split="test", train_share=share)] for share in (0.01, 1.0)]
    assert tests[0] == tests[1]


def test_without_given_splits_documents_are_dealt_by_the_seed(made, tmp_path):
    for path in made.glob("*.json"):
        if path.name != "splits.json":
            (tmp_path / path.name).write_text(path.read_text())
    groups = [
        {r.group for s in ("train", "val", "test") for r in MatSci(root=tmp_path, split=s, seed=n)} for n in (0, 1)
    ]
    assert groups[0] == groups[1]
    train = [{r.group for r in MatSci(root=tmp_path, split="train", seed=n)} for n in (0, 0, 1)]
    assert train[0] == train[1] != train[2]


def plan(**more):
    return TrainingPlan(batch_size=12, total=40, start=0, seed=3, augment=False, **more)


def processors(layout):
    prompt = PromptProcessor(vocab_size=600, max_length=192)
    prompt.read_tables(layout.tables)
    prompt.fit([record.sources["prompt"] for record in layout])
    return {"prompt": prompt}


def test_tasks_may_be_drawn_more_alike_than_their_sizes(made):
    def shares(balance):
        layout = RuleMadeMatSci(root=made, split="train", train_share=0.5, balance=balance)
        draws = layout.draws(processors(layout), plan())
        rows = [row for batch in draws.sampler for _, row in batch]
        tasks = [read_question(draws.dataset.record(row).sources["prompt"]).task for row in rows]
        assert len(rows) == 12 * 40
        assert draws.dataset[(0, rows[0])]["inputs"]["prompt"]["ids"][0] == CLS
        return {task: tasks.count(task) / len(tasks) for task in TASKS}

    equal = shares(0.0)
    assert all(abs(share - 1 / 7) < 0.07 for share in equal.values())
    assert shares(0.7)["ner"] > 2 * equal["ner"]
    assert RuleMadeMatSci(root=made, split="train").draws({}, plan()) is None  # balance 1: every record once an epoch
    with pytest.raises(ConfigError, match="balance: is 2"):
        RuleMadeMatSci(root=made, split="train", balance=2)


def test_questions_that_cannot_be_read_are_never_drawn(root):
    path = root / "dataset" / "structured_re.json"
    path.write_text("{broken\n" + path.read_text().split("\n", 1)[1])
    layout = MatSci(root=root, split="train", balance=0)
    draws = layout.draws(processors(layout), plan())
    assert len(draws.dataset) == len(layout) - 1


def test_rule_made_files_verify_and_hold_out_formulas_and_templates(made):
    layouts = [RuleMadeMatSci(root=made, split=split) for split in ("train", "val", "test")]
    assert verify(layouts) == []
    assert layouts[0].simulated
    texts = [{read_question(r.sources["prompt"]).text for r in layout} for layout in layouts]
    assert not texts[0] & texts[2]
    formulas = [
        {q.span for r in layout if (q := read_question(r.sources["prompt"])).answer in ("MAT", "Main")}
        for layout in layouts
    ]
    assert formulas[0]
    assert not formulas[0] & formulas[2]
    starts = [{text.split()[0] for text in some if "electrode" in text or "efficiency" in text} for some in texts]
    assert "An" in starts[2] - starts[0]


def test_the_same_seed_writes_the_same_files(made, tmp_path):
    write(tmp_path, documents=40)
    assert all((tmp_path / p.name).read_bytes() == p.read_bytes() for p in made.glob("*.json"))
