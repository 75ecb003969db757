"""Every format of one recorded campaign, as it was once looked at and found good.

`tests/golden/report/records.ndjson` is of a real run: `examples/outbox` with ten changes to a commit, paths shortened.
After a change that is meant:

    CRASHLAB_UPDATE_GOLDEN=1 python -m pytest tests/crashlab/report

and read the difference before it is committed.
"""

import importlib.util
import os
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from crashlab.decide.evidence import GateReport, Row, RowResult
from crashlab.errors import RecordError, UsageError
from crashlab.report.compare import compare
from crashlab.report.formats import render, render_comparison
from crashlab.report.github import STEP_SUMMARY, SUMMARY_BYTES_MAX, append_step_summary
from crashlab.report.summary.facts import Summary
from crashlab.report.summary.fold import summarise

GOLDEN = Path(__file__).parents[2] / "golden" / "report"
FILES = {
    "text": "report.txt",
    "json": "report.json",
    "junit": "junit.xml",
    "github": "github.txt",
    "markdown": "report.md",
}
EVIL = "<script>alert(1)</script>|`x`[a](http://x)![i](http://y)\x1b[2J\u202e&\"'\n::error::x\n| a |\ud800]]>"


_SEVERAL = (
    b'{"unit":"rows","clock":"stepped","n":9,"mean":{"value":3.0,"low":null,"high":null},"p50":{"value":3.0},'
    b'"p95":null,"p99":null,"max":{"value":5.0},"curve":[[0,0],[50,3],[100,5]]}'
)
STUDY = [
    b'{"seq":90,"ns":1,"kind":"study.%s","data":%s}' % (kind, data)
    for kind, data in (
        (b"started", b'{"subject":"store","seed":1,"environment":{"os":"Linux"}}'),
        (b"cell", b'{"cell":{"axes":{"cadence":"60"}},"rows":%s,"remarks":["x"]}' % _SEVERAL),
        (b"latency", b'{"cell":{"axes":{"cadence":"5"}},"checkpoint_ms":%s}' % _SEVERAL),
        (b"recommendation", b'{"says":"60 s","reasons":["because"],"limits":["here"]}'),
        (b"finished", b'{"seconds":3,"stop":"completed"}'),
    )
]


@pytest.fixture(scope="module")
def summary():
    found = summarise([str(GOLDEN / "records.ndjson")])
    source = msgspec.structs.replace(found.sources[0], path="records.ndjson")
    return msgspec.structs.replace(found, sources=(source,))


@pytest.fixture(scope="module")
def hostile(summary):
    """The same, with other people's text wherever there can be any."""
    data = msgspec.json.decode(msgspec.json.encode(summary))
    row = Row(EVIL, EVIL, RowResult.FAIL, judged=3, failures=1, detail=EVIL)
    where = ({"os": EVIL}, {EVIL: EVIL}, EVIL, (EVIL,))
    report = GateReport("NO-GO", (EVIL,), EVIL, 1, (row,), {}, 3, 9, 9, 1.0, EVIL, *where)
    data["gates"] = [msgspec.to_builtins(report)]
    data["answer"] = {"word": EVIL, "claim": EVIL, "reasons": [EVIL]}
    data["runs"][0] |= {"subject": EVIL, "faults": [EVIL], "params": {EVIL: EVIL}, "environment": {"os": EVIL}}
    data["phases"] = {EVIL: 3}
    data["errors"] = [EVIL]
    for cell in data["cells"]:
        cell |= {"fault": EVIL, "params": {EVIL: EVIL}}
    for heat in data["heat"]:
        heat |= {"param": EVIL, "values": [EVIL], "faults": [EVIL] * len(heat["faults"])}
    for each in data["exposures"]:
        each |= {"param": EVIL, "value": EVIL}
    for found in data["findings"]:
        found |= {"identity": EVIL, "message": EVIL}
        for witness in found["witnesses"]:
            witness |= {"fault": EVIL, "fired": EVIL, "replay": EVIL, "reduce": EVIL, "params": {EVIL: EVIL}}
            if witness["story"]:
                witness["story"]["steps"][0]["lane"] = EVIL
                witness["story"]["phases"][0] |= {"name": EVIL, "detail": EVIL}
                witness["story"]["operations"] = [{"at_us": 5, "what": EVIL}]
    explored = {"generated": 3, "policy": EVIL, "stop": EVIL}
    lists = {key: [0, 1] for key in ("writes_main", "writes_wal", "syncs", "others", "failing")}
    reach = {"policy": EVIL, "operations": 3, "width": 1, "states": [1, 2, 1], **lists}
    data["covered"] = [
        {"row": EVIL, "fault_class": EVIL, "judged": 1, "failures": 0, "coverage": [explored], "reach": [reach]}
    ]
    return msgspec.convert(data, Summary)


@pytest.mark.parametrize("name", FILES)
def test_it_looks_like_this(summary, name):
    data = render(name, summary)
    golden = GOLDEN / FILES[name]
    if os.environ.get("CRASHLAB_UPDATE_GOLDEN"):
        golden.write_bytes(data)
    assert data == golden.read_bytes()


@pytest.mark.parametrize("name", ["text", "junit", "github", "markdown"])
def test_other_peoples_text_is_shown_and_not_obeyed(hostile, name):
    text = render(name, hostile).decode()
    assert not {"\x1b", "\u202e", "\x07"} & set(text)
    assert "\\x1b[2J" in text or "\\x1b\\[2J" in text
    if name == "markdown":
        text = re.sub(r"(?ms)^(```+)sh$.*?^\1$|`[^`\n]*`", "", text)  # code is shown as it is
        assert "<script" not in text
        assert "](http" not in text.replace("\\](http", "")
        assert not [line for line in text.splitlines() if line.startswith("| a |")]
    if name == "github":
        lines = text.splitlines()
        assert all(line.startswith(("::error title=", "::warning title=", "::notice title=")) for line in lines)
        assert not [line for line in lines if "::error::x" in line.partition("::")[2].partition("::")[0]]


def _check_junit(data):
    """The structure that Jenkins' and pytest's schemas share: elements, attributes, order, and counts that add up."""
    root = ET.fromstring(data)
    assert root.tag == "testsuites"
    every = []
    for suite in root:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) == {"name", "tests", "failures", "errors", "skipped", "time"}
        assert suite[0].tag == "properties"
        assert all(set(each.attrib) == {"name", "value"} for each in suite[0])
        cases = list(suite)[1:]
        every += cases
        for case in cases:
            assert case.tag == "testcase"
            assert set(case.attrib) == {"classname", "name", "time"}
            assert case.attrib["name"]
            assert float(case.attrib["time"]) >= 0
            assert [child.tag for child in case] in ([], ["failure"], ["error"], ["skipped"], ["system-out"])
            assert all({"message"} <= set(child.attrib) for child in case if child.tag != "system-out")
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert sum(case.find(tag) is not None for case in cases) == int(suite.attrib[name])
        assert len(cases) == int(suite.attrib["tests"])
    assert len(every) == int(root.attrib["tests"])
    return every


def test_junit_is_what_its_readers_take(summary, hostile):
    _check_junit(render("junit", hostile))
    cases = _check_junit(render("junit", summary))
    assert {case.attrib["classname"] for case in cases} == {"crashlab.outbox-batched", "crashlab.findings"}
    assert any(
        "crashlab replay" in (case.find("failure").text or "") for case in cases if case.find("failure") is not None
    )


def test_an_empty_campaign_is_an_error_for_junit(tmp_path):
    path = tmp_path / "records.ndjson"
    path.write_bytes(b"")
    empty = summarise([str(path)])
    (case,) = _check_junit(render("junit", empty))
    assert case.find("error").attrib["message"] == "no trial was run, so nothing is known"
    for name in FILES:
        assert b"no trial was run" in render(name, empty)


def test_the_step_summary_is_appended_and_keeps_its_cap(summary, tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("# mine\n")
    assert append_step_summary(summary, {STEP_SUMMARY: str(path)}) == ""
    assert path.read_text().startswith("# mine\n## ")
    path.write_bytes(b"x" * (SUMMARY_BYTES_MAX - 3000))
    assert append_step_summary(summary, {STEP_SUMMARY: str(path)}) == ""
    assert SUMMARY_BYTES_MAX - 3000 < path.stat().st_size < SUMMARY_BYTES_MAX
    path.write_bytes(b"x" * (SUMMARY_BYTES_MAX - 100))
    assert "has no room left" in append_step_summary(summary, {STEP_SUMMARY: str(path)})
    assert "could not be written" in append_step_summary(summary, {STEP_SUMMARY: str(tmp_path / "no" / "such")})
    assert "is not set" in append_step_summary(summary, {})


def test_a_comparison_says_environment_first_and_what_appeared(summary):
    runs = (msgspec.structs.replace(summary.runs[0], environment={"sqlite": "3.51.3"}, params={"commit_every": 1}),)
    counts = msgspec.structs.replace(summary.counts, failures=0, judged=2000)
    fixed = msgspec.structs.replace(summary, runs=runs, counts=counts, findings=summary.findings[:1], cells=())
    found = compare(summary, fixed, ("a", "b"))
    assert found.differs[0][0] == "os"
    assert ("sqlite", "3.40.1", "3.51.3") in found.differs
    assert ("parameter commit every", "10", "1") in found.differs
    assert found.failures[0].clear
    assert found.failures[0].high < 0
    changes = {identity: change for identity, _, _, change in found.findings}
    assert changes.pop(summary.findings[0].identity) == "same"
    assert all(change.startswith("gone") for change in changes.values())
    back = compare(fixed, summary, ("b", "a"))
    assert {change.split(",")[0] for _, _, _, change in back.findings} == {"same", "APPEARED"} or not changes
    assert msgspec.json.decode(render_comparison("json", found))["differs"]
    for name in ("text", "markdown"):
        text = render_comparison(name, found).decode().partition("Where and how")[2]
        assert text.index("3.51.3") < text.index("acked")
    same = compare(summary, summary, ("a", "a"))
    assert not same.differs
    assert not any(each.clear for each in (*same.failures, *same.measures))


def test_an_unknown_format():
    with pytest.raises(UsageError, match="unknown format 'pdf'; known: text, json"):
        render("pdf", summarise([str(GOLDEN / "records.ndjson")]))


def _leaves(value, path=()):
    if isinstance(value, dict | list) and value:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, (*path, key))
    else:
        yield path


@pytest.mark.parametrize("seed", range(int(os.environ.get("CRASHLAB_FUZZ", "2"))))
def test_records_with_anything_in_them_are_told_or_refused(tmp_path, seed):
    """Any value in the place of any other: a line that is named, or a report; never a traceback."""
    rng = random.Random(seed)
    lines = (GOLDEN / "records.ndjson").read_bytes().splitlines()[:6] + STUDY
    junk = [
        None,
        True,
        -1,
        2**70,
        -1e300,
        1e300,
        "",
        EVIL[:40],
        [],
        {},
        [[]],
        {"a": 1},
        "kill@",
        0,
        3.5,
        ["x"],
        {"n": 2**63},
    ]
    path = tmp_path / "records.ndjson"
    refused = []
    for _ in range(25):
        events = [msgspec.json.decode(line) for line in lines]
        for event in rng.sample(events, 2):
            *way, last = rng.choice(list(_leaves(event["data"], ("data",))))
            inner = event
            for key in way:
                inner = inner[key]
            inner[last] = rng.choice(junk)
        path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
        try:
            found = summarise([str(path)])
        except RecordError as error:
            refused.append(str(error))
            continue
        for name in [*FILES, *(["html"] if importlib.util.find_spec("jinja2") else [])]:
            render(name, found)
        render_comparison("text", compare(found, found, ("a", "b")))
    assert all(", line " in said for said in refused)
    assert len(refused) < 25
