"""The lane diagram: one bar a span in its lane's column, words escaped, everything bounded."""

from xml.etree import ElementTree

from crashlab.report.lanes import SPANS_MAX, LaneSpan, lanes_svg, lanes_table

SVG = "{http://www.w3.org/2000/svg}"
SPANS = [
    LaneSpan(0, 38, "insert, then a checkpoint", "unfetch", "mxFrame 5, nBackfill 0"),
    LaneSpan(1, 25, "checkpoint, insert", note="mxFrame 1, nBackfill 0"),
    LaneSpan(0, 9, "the rest of its checkpoint", note="mxFrame 1, nBackfill 5", marked=True),
    LaneSpan(1, 4, "insert", "write", fault="kill"),
]


def drawn(lanes, spans, **more):
    return ElementTree.fromstring(lanes_svg(lanes, spans, **more))


def test_each_span_is_a_bar_in_its_lanes_column_below_the_one_before():
    bars = drawn(["first", "second"], SPANS).findall(f"{SVG}rect")
    columns = [float(bar.get("x")) for bar in bars]
    assert columns[0] == columns[2] < columns[1] == columns[3]
    tops = [float(bar.get("y")) for bar in bars]
    assert tops == sorted(set(tops))
    assert ["bad" in bar.get("class") for bar in bars] == [False, False, True, True]


def test_text_of_programs_is_escaped_and_control_characters_are_written_out():
    hostile = LaneSpan(0, 1, '<script>alert("x")</script>\x1b[31m', "a&b", "]]>")
    root = drawn(['"<b>'], [hostile], title='"><svg onload="x')
    said = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    assert '<script>alert("x")</script>\\x1b[31m' in said
    assert root.get("onload") is None
    assert root.find(f".//{SVG}script") is None


def test_it_is_bounded_and_says_so():
    root = drawn(["a", "b"], [LaneSpan(n % 2, n, "word " * 500) for n in range(SPANS_MAX + 7)])
    assert len(root.findall(f"{SVG}rect")) == SPANS_MAX
    assert any(text.text == "and 7 more" for text in root.iter(f"{SVG}text"))
    assert len(ElementTree.tostring(root)) < 400_000


def test_the_table_says_the_same():
    head, *rows = lanes_table(["first", "second"], SPANS)
    assert len({len(row) for row in (head, *rows)}) == 1
    assert rows[0] == ("1", "first", "38", "insert, then a checkpoint", "unfetch", "mxFrame 5, nBackfill 0")
    assert rows[3][4] == "write (kill)"
