"""The page of an autopsy: whole without a network or scripts, and nothing of the evidence is obeyed."""

import sqlite3
import sys
from html.parser import HTMLParser

import pytest

from crashlab.diagnosis.autopsy import autopsy
from crashlab.errors import UsageError
from crashlab.report.autopsy_html import autopsy_html

EVIL = "<script>alert(1)</script>\x1b[2J\u202e&\"'"


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture
def report(tmp_path):
    """A damaged database whose names are hostile."""
    path = tmp_path / "app.db"
    connection = sqlite3.connect(path)
    name = EVIL.replace('"', '""')
    connection.execute(f'create table "{name}"(id integer primary key, v text)')
    connection.executemany(f'insert into "{name}" values (?, ?)', [(key, "v" * 500) for key in range(100)])
    connection.commit()
    connection.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 3 + 8] = b"\xff" * 8
    path.write_bytes(data)
    found = autopsy(path)
    assert any(EVIL in name for name in found.facts.whole.trees)
    return found


def test_the_page_stands_alone_and_everything_is_escaped(report):
    pytest.importorskip("jinja2")
    page = autopsy_html(report)
    tags = Tags()
    tags.feed(page)
    assert not {"script", "img", "link", "iframe"} & tags.tags
    assert not {"src", "href", "onclick", "onload"} & tags.attributes
    assert "&lt;script&gt;alert(1)" in page
    assert r"\x1b[2J\u202e&amp;" in page
    assert "\x1b" not in page
    assert page.index("DAMAGED") < page.index("Mechanism") < page.index("Files</h2>")
    assert "prefers-color-scheme: dark" in page


def test_without_jinja2_it_says_so_by_name(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"needs jinja2, .* pip install 'crashlab\[report\]'"):
        autopsy_html(report)
