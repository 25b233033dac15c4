"""The page is one file, asks nothing of the network, and shows what it was given."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from core.errors import ConfigError, DataError
from core.evaluation.bootstrap import Interval
from core.report import Answer, Item, KeyFigure, Overlay, Report, RetrievalExample, environment, to_uint8
from core.report.gallery import retrieval_examples
from core.report.html import gauge, number, place

EVIL = "<script>alert(1)</script>\"><img src=x onerror='alert(2)'> & {{ 7 * 7 }}"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checker(HTMLParser):
    """Tags balance, and every address is a fragment or data."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.addresses, self.ids, self.handlers = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                self.addresses.append(value)
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "id":
                self.ids.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def checked(page):
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    return checker


@pytest.fixture
def report():
    """One of every section, with hostile text wherever text can go."""
    r = Report(title=EVIL, subtitle=EVIL, banner=EVIL, footer=EVIL)
    r.add_key_figure(EVIL, 0.8, interval=(0.7, 0.9), target=0.75, chance=0.5, note=EVIL, unit=EVIL)
    r.add_key_figure("seconds", 12.5, target=10, better="lower")
    r.add_text(EVIL, EVIL)
    r.add_curves(EVIL, [{"step": i, "train/loss": 1 / (i + 1), f"val/{EVIL}": float(i)} for i in range(80)], note=EVIL)
    r.add_intervals(EVIL, {EVIL: Interval(0.7, 0.6, 0.8), "b": Interval(np.nan, np.nan, np.nan)}, remarks={EVIL: EVIL})
    r.add_table(EVIL, [EVIL, "n"], [[EVIL, 3], ["x", 0.12345]])
    grey, colour = np.zeros((8, 6), np.uint8), np.full((8, 6, 3), 200, np.uint8)
    item = Item([grey, colour], text=EVIL * 9, caption=EVIL)
    r.add_retrieval(EVIL, [RetrievalExample(item, [Answer(item, 0.9, True), Answer(Item(text="t"), 0.1, False)], 1, 9)])
    mask = np.zeros((8, 6), bool)
    mask[2:5, 1:4] = True
    r.add_overlays(EVIL, [Overlay(grey, {EVIL: mask}, {EVIL: ~mask, "empty": mask & ~mask}, EVIL, (2.0, 1.0))])
    r.add_figure(EVIL, b"png", alt=EVIL)
    r.add_config(EVIL)
    r.add_facts(EVIL, {"a": {"b": EVIL}, EVIL: [1, 2], "none": ""})
    return r


def test_no_text_becomes_markup(report):
    page = report.render()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "{{ 7 * 7 }}" in page  # never rendered as a template either
    found = checked(page)
    assert "script" not in found.tags
    assert not found.handlers


def test_the_page_asks_nothing_of_the_network(report):
    page = report.render()
    for address in checked(page).addresses:
        assert address.startswith(("#", "data:image/png;base64,")), address[:60]
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", page)
    assert "default-src 'none'" in page


def test_every_section_is_linked_and_ids_of_sections_are_unique(report):
    found = checked(report.render())
    sections = [i for i in found.ids if re.match(r"s\d+-", i)]
    assert len(sections) == len(set(sections)) == len(report.sections)
    assert {f"#{i}" for i in sections} <= set(found.addresses)


def test_the_same_content_gives_the_same_page(report):
    assert report.render() == report.render()


def test_an_empty_report_is_a_page():
    page = Report(title="Nothing yet").render()
    checked(page)
    assert "<h1>Nothing yet</h1>" in page
    assert 'banner"' not in page


def test_the_banner_is_on_top():
    page = Report(title="t", banner="SIMULATED DATA").render()
    assert page.index("SIMULATED DATA") < page.index("<h1>")


def test_writing_replaces_the_file_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "report.html"
    report = Report(title="first")
    assert report.write(path) == path
    before = path.read_text()
    report.title = "second"
    monkeypatch.setattr(Report, "render", lambda self: (_ for _ in ()).throw(RuntimeError("boom")))
    with pytest.raises(RuntimeError, match="boom"):
        report.write(path)
    assert path.read_text() == before
    monkeypatch.undo()
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DataError):
        report.write(path)
    assert path.read_text() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_curves_sort_keys_into_panels_and_leave_out_what_is_not_a_number():
    records = [
        {"step": s, "train/loss": 2.0 - s / 10, "train/pair/loss": 1.0, "lr": 1e-3, "text": "x", "bad": None}
        for s in range(10)
    ] + [{"step": 10, "train/loss": float("nan")}]
    r = Report(title="t")
    r.add_curves("Training", records)
    titles = {p.title: [s.key for s in p.series] for p in r.sections[0].body["panels"]}
    assert titles == {"Loss": ["train/loss"], "Learning rate": ["lr"], "Loss by term": ["train/pair/loss"]}
    assert "train/loss from 2 to 1.1" in r.render()
    r.add_curves("None", [{"step": 1, "train/loss": 1.0}])
    assert len(r.sections) == 1


def test_a_long_run_stays_a_small_page():
    rng = np.random.default_rng(0)
    records = [{"step": i, "train/loss": float(rng.random())} for i in range(20000)]
    r = Report(title="t")
    r.add_curves("Training", records)
    assert len(r.render()) < 120_000


def test_intervals_are_sorted_with_the_mean_on_top():
    r = Report(title="t")
    rows = {"a": Interval(0.6, 0.5, 0.7), "b": Interval(0.9, 0.8, 1.0), "macro mean": Interval(0.75, 0.7, 0.8)}
    r.add_intervals("AUROC", rows, chance=0.5)
    assert [row["name"] for row in r.sections[0].body["rows"]] == ["macro mean", "b", "a"]


def test_a_tile_says_whether_its_target_is_met():
    assert KeyFigure("a", 0.8, target=0.8).reached is True
    assert KeyFigure("a", 0.7, target=0.8).reached is False
    assert KeyFigure("a", 0.7, target=0.8, better="lower").reached is True
    assert KeyFigure("a", 0.7).reached is None
    r = Report(title="t")
    r.add_key_figure("x", 0.7, target=0.8)
    assert "✗ below target" in r.render()


def test_gauges_hold_everything_they_show():
    for figure in (
        KeyFigure("a", 0.02, (0.01, 0.03), 0.05, 0.005),
        KeyFigure("a", 0.9, (0.85, 0.95), 0.8, 0.5),
        KeyFigure("a", 412.0),
        KeyFigure("a", -2.0, (-3.0, -1.0)),
        KeyFigure("a", 0.0),
        KeyFigure("a", float("nan")),
    ):
        low, high = gauge(figure)
        assert low < high
        for v in (figure.value, *(figure.interval or ()), figure.target, figure.chance):
            if v is not None and np.isfinite(v):
                assert low <= v <= high
    assert place(0.5, (0.0, 2.0)) == 25
    assert place(9.0, (0.0, 2.0)) == 100


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (1234.5, "1,234"), (12345, "12,345"), (float("nan"), "–"), (None, "–"), ("a", "a"), (3, "3")],
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_a_wrong_table_and_a_wrong_picture_are_refused():
    r = Report(title="t")
    with pytest.raises(ConfigError, match="row 1 has 1 cells for 2 columns"):
        r.add_table("T", ["a", "b"], [[1, 2], [3]])
    with pytest.raises(DataError, match=r"a picture is float64 \(4, 4\); give uint8"):
        r.add_retrieval("R", [RetrievalExample(Item([np.zeros((4, 4))]), [])])


def test_examples_from_embeddings_mark_the_duplicates_of_the_right_answer():
    a = np.eye(4)
    texts = ["x", "y", "x", "z"]
    (example,) = retrieval_examples(
        a, a, texts, texts, query_item=lambda i: Item(text=f"q{i}"), gallery_item=lambda i: Item(text=texts[i]),
        rows=[2], k=4,
    )  # fmt: skip
    assert example.query.text == "q2"
    assert (example.rank, example.pool) == (1, 4)
    assert example.answers[0].score == pytest.approx(1)
    assert sorted(x.item.text for x in example.answers if x.hit) == ["x", "x"]


def test_grey_levels_span_the_window():
    out = to_uint8(np.array([[-2000.0, -1000.0], [0.0, np.nan]]), low=-1000, high=1000)
    assert out.tolist() == [[0, 0], [128, 128]]


def test_the_environment_names_versions_and_no_host():
    import platform

    facts = environment(seed=3, precision="32")
    assert facts["python"] == platform.python_version()
    assert facts["seed"] == "3"
    assert "numpy" in facts
    assert not platform.node() or platform.node() not in " ".join(facts.values())


def test_an_interval_object_serves_as_a_tile_interval():
    r = Report(title="t")
    r.add_key_figure("x", 0.5, interval=SimpleNamespace(low=0.4, high=0.6))
    assert r.key_figures[0].interval == (0.4, 0.6)
