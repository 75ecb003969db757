"""The page: whole without a network or scripts, the decision first, nothing of the evidence obeyed."""

from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from crashlab.errors import UsageError
from crashlab.model.event import Event
from crashlab.report.bench import bench_report
from crashlab.report.compare import compare
from crashlab.report.formats import render, render_comparison
from crashlab.report.page import page_html
from crashlab.report.summary.fold import Fold, summarise

RECORDS = Path(__file__).parents[2] / "golden" / "report" / "records.ndjson"
EVIL = "<script>alert(1)</script>\x1b[2J\u202e&\"'</style></svg><img src=http://x.test/i onerror=alert(1)>"
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "h4", "b", "p", "ul", "li", "nav"),
    *("a", "section", "article", "code", "pre", "div", "table", "thead", "tbody", "tr", "th", "td"),
    *("figure", "figcaption"),
    *("details", "summary", "small", "span", "svg", "rect", "line", "path", "circle", "text"),
}  # fmt: skip


class Tags(HTMLParser):
    """The tags, attributes and ids of a page; every tag that is opened is closed."""

    VOID = ("meta", "rect", "line", "path", "circle")

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.ids, self.open = set(), set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        self.links = [*getattr(self, "links", []), *(value for name, value in attrs if name == "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def summary():
    return summarise([str(RECORDS)])


@pytest.fixture(autouse=True)
def _jinja2(request):
    if "without" not in request.node.name:
        pytest.importorskip("jinja2")


def evil(value):
    """Other people's text in the place of every text but the enumerations'."""
    if isinstance(value, dict):
        return {(EVIL if key in ("commit_every",) else key): evil(each) for key, each in value.items()}
    if isinstance(value, list):
        return [evil(each) for each in value]
    return EVIL + value if isinstance(value, str) and value not in ("", "ms", "s", "rows", "frames") else value


def hostile(summary):
    data = evil(msgspec.json.decode(msgspec.json.encode(summary)))
    return msgspec.convert(data, type(summary))


def parsed(page):
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    return tags


def test_the_page_stands_alone(summary):
    page = page_html(summary)
    tags = parsed(page)
    assert tags.tags <= ALLOWED
    assert not {"src", "onclick", "onload", "action"} & tags.attributes
    assert {link[1:] for link in tags.links} <= set(tags.ids)
    assert len(tags.ids) == len(set(tags.ids))
    assert page.index("FAIL") < page.index("Findings") < page.index("crashlab replay") < page.index("Environment</h2>")
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    # Every figure that is drawn is in a table too.
    for step in summary.findings[0].witnesses[0].story.steps:
        assert f">{step.seq}</td>" in page
    assert "acked, GONE" in page
    for each in summary.exposures:
        assert f">{each.rows.n:,}</td>" in page


def test_everything_is_escaped(summary):
    page = page_html(hostile(summary))
    tags = parsed(page)
    assert tags.tags <= ALLOWED
    assert not {"src", "onerror"} & tags.attributes
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_comparison_is_a_page_too(summary):
    page = render_comparison("html", compare(summary, hostile(summary), ("a", EVIL))).decode()
    assert parsed(page).tags <= ALLOWED
    assert "What changed" in page


def test_an_empty_campaign_and_a_study_have_pages(tmp_path):
    fold = Fold()
    assert "no trial was run" in page_html(fold.summary())
    quantile = {"value": 3.0, "low": None, "high": None}
    several = {"unit": "rows", "clock": "stepped", "n": 9, "over": "moments", "mean": quantile, "p50": quantile}
    several |= {"p95": quantile, "p99": None, "max": {"value": 5.0}, "curve": [[0, 0], [50, 3], [100, 5]]}
    cell = {"axes": {"cadence": "60", "mode": EVIL}, "params": {}, "tick_s": 4.0}
    told = [
        ("study.started", {"subject": "store"}),
        ("study.cell", {"cell": cell, "rows": several, "frames": None, "remarks": [EVIL]}),
        ("study.latency", {"cell": cell, "checkpoint_ms": {**several, "unit": "ms", "clock": "real"}}),
        ("study.effect", {"text": "p95 rows 3 times", "clock": "stepped", "method": "bootstrap"}),
        ("study.recommendation", {"says": "60 s, PASSIVE", "reasons": ["because"], "limits": ["here"]}),
    ]
    for number, (kind, data) in enumerate(told):
        fold(Event(number, 0, kind, "", data))
    page = page_html(fold.summary())
    assert parsed(page).tags <= ALLOWED
    assert page.index("STUDY") < page.index("60 s, PASSIVE") < page.index("p95 rows 3 times")
    assert "cadence=60" in page


def test_the_page_stays_small_however_much_there_is(summary):
    data = msgspec.json.decode(msgspec.json.encode(summary))
    data["findings"] = [{**data["findings"][0], "identity": f"i{number}"} for number in range(500)]
    data["cells"] = [{**data["cells"][0], "params": {"n": number}} for number in range(1000)]
    assert len(render("html", msgspec.convert(data, type(summary)))) < 8_000_000


def test_the_bench_builds_the_page_in_a_process_of_its_own(tmp_path):
    (figure,) = bench_report(seed=1, rounds=1, workspace=str(tmp_path), trials=300)
    assert figure.trials == 300
    assert 20_000 < figure.page_bytes < 8_000_000
    assert "wanted: under 20 s, 500 MB, 8 MB: met" in str(figure)
    assert not list(tmp_path.iterdir())


def test_without_jinja2_it_says_so_by_name(summary, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"needs jinja2, which is not installed; pip install 'crashlab\[report\]'"):
        page_html(summary)
