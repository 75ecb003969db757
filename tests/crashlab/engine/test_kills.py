"""Real kills of any program: when it is hit, what its unkilled runs teach, how a killed one is judged."""

import sqlite3
from itertools import pairwise

import pytest

from crashlab.engine.program.kills.case import KILLED_CASE, load_killed_case
from crashlab.engine.program.kills.judge import judge
from crashlab.engine.program.kills.moments import ACK, OPEN, START, Hit, Timing, draw_moments, parse_hit
from crashlab.engine.program.kills.survey import reference_of, survey
from crashlab.errors import RecordError, UsageError
from crashlab.model.program import Program

TIMING = Timing(opened_us=40_000, end_us=100_000, acks=30, ack_gap_us=1_000)
pytestmark = pytest.mark.skipif(not hasattr(__import__("signal"), "SIGKILL"), reason="no SIGKILL here")


def test_moments_come_from_the_seed_and_cover_the_whole_run():
    hits = draw_moments(parse_hit("kill"), 400, TIMING, 7)
    assert hits == draw_moments(parse_hit("kill"), 400, TIMING, 7)
    assert hits != draw_moments(parse_hit("kill"), 400, TIMING, 8)
    by = {after: [hit for hit in hits if hit.after == after] for after in (START, OPEN, ACK)}
    assert {after: len(found) for after, found in by.items()} == {START: 100, OPEN: 100, ACK: 200}
    starts = sorted(hit.delay_us for hit in by[START])
    assert starts[0] < 34_000
    assert starts[-1] > 98_000
    assert max(b - a for a, b in pairwise(starts)) < 3_000
    assert {hit.acks for hit in by[ACK]} == set(range(1, 31))
    unseen = draw_moments(parse_hit("term grace=1s"), 50, Timing(-1, 100_000), 7)
    assert {hit.after for hit in unseen} == {START, OPEN}
    assert min(hit.delay_us for hit in unseen if hit.after == START) >= 40_000
    assert all(parse_hit(str(hit)) == hit for hit in (*hits, *unseen))


@pytest.mark.parametrize(
    "text",
    ["kil", "hangup@ack#1", "kill@wal.write#5", "kill delay=3ms", "kill@ack", "kill@start#2", "kill@ack#1+5",
     "kill@start grace=1s", "term@start delay=700s"],
)  # fmt: skip
def test_a_fault_that_is_none_of_a_command_is_refused(text):
    with pytest.raises(UsageError, match=r"fault|expected"):
        parse_hit(text)


def make(directory, *statements, files=(), name="app.db"):
    directory.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(directory / name) as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    for file in files:
        (directory / file).write_bytes(b"content")
    return directory


def learned(tmp_path, *statements, keys, before=(), files=()):
    start = make(tmp_path / "start", *before) if before else tmp_path / "start"
    start.mkdir(exist_ok=True)
    end = make(tmp_path / "end", *before, *statements, files=files)
    return reference_of([survey(end, start, tmp_path / "survey", keys)], acked=bool(keys))


def judged(tmp_path, reference, *statements, keys, files=()):
    work = make(tmp_path / "work", *statements, files=files)
    looks, findings = judge(work, tmp_path / "judged", reference, keys, "app")
    return looks, [(each.identity.invariant, each.message) for each in findings]


TABLE = "CREATE TABLE t(id INTEGER PRIMARY KEY, v)"
RULES = {
    # kind: (keys of the unkilled run, its statements, keys before the kill, too little then, enough then)
    "value": (("a", "b"), ("INSERT INTO t(v) VALUES('a'), ('b')",), ("a",), (), ("INSERT INTO t(v) VALUES('a')",)),
    "high": (
        ("1", "5", "9"),
        ("INSERT INTO t(id, v) VALUES(1, 9)",),
        ("1", "5"),
        ("INSERT INTO t(id, v) VALUES(1, 1)",),
        ("INSERT INTO t(id, v) VALUES(1, 6)",),
    ),
    "count": (
        ("", ""),
        ("INSERT INTO t(v) VALUES('x'), ('x')",),
        ("", ""),
        ("INSERT INTO t(v) VALUES('y')",),
        ("INSERT INTO t(v) VALUES('y'), ('y')",),
    ),
}


@pytest.mark.parametrize("enough", [False, True])
@pytest.mark.parametrize("kind", RULES)
def test_an_ack_is_judged_by_what_follows_acks_without_a_kill(tmp_path, kind, enough):
    keys, statements, out, little, much = RULES[kind]
    reference = learned(tmp_path, TABLE, *statements, keys=keys)
    assert reference.acks.kind == kind
    looks, findings = judged(tmp_path, reference, TABLE, *(much if enough else little), keys=out)
    assert [invariant for invariant, _ in findings] == ([] if enough else ["acked-commits"])
    assert looks[0].schema == "as at the end"


def test_an_ack_that_nothing_follows_is_not_judged_and_rows_from_before_count_for_none(tmp_path):
    reference = learned(tmp_path, "INSERT INTO t(v) VALUES('x')", keys=("7", "8"), before=(TABLE,))
    assert reference.acks.kind == ""
    again = learned(
        tmp_path / "2", "INSERT INTO t VALUES(NULL, 'x')", keys=("",), before=(TABLE, "INSERT INTO t VALUES(5, 'y')")
    )
    assert again.acks.kind == "count"
    _, findings = judged(tmp_path / "2", again, TABLE, "INSERT INTO t VALUES(5, 'y')", keys=("",))
    assert findings == [("acked-commits", "1 acks were out, and app.db: t has got 0 rows")]


def test_no_database_at_all_keeps_no_ack(tmp_path):
    reference = learned(tmp_path, TABLE, "INSERT INTO t(v) VALUES('a')", keys=("a",))
    (tmp_path / "empty").mkdir()
    looks, findings = judge(tmp_path / "empty", tmp_path / "judged", reference, ("a",), "app")
    assert looks == ()
    assert [each.identity.invariant for each in findings] == ["acked-commits"]


@pytest.mark.parametrize("there", [False, True])
def test_a_row_that_names_a_file_must_find_it(tmp_path, there):
    rows = "INSERT INTO t(v) VALUES('a.bin'), ('b.bin')"
    reference = learned(tmp_path, TABLE, rows, keys=(), files=("a.bin", "b.bin"))
    assert [str(place) for place in reference.files] == ["app.db: t.v"]
    _, findings = judged(tmp_path, reference, TABLE, rows, keys=(), files=("a.bin", "b.bin") if there else ("a.bin",))
    assert findings == ([] if there else [("named-files", "app.db: t.v names 'b.bin', which is not there")])


def test_a_malformed_database_is_found_and_the_evidence_stays_as_it_was(tmp_path):
    reference = learned(tmp_path, TABLE, "INSERT INTO t(v) VALUES(zeroblob(20000))", keys=())
    work = make(tmp_path / "work", TABLE, "INSERT INTO t(v) VALUES(zeroblob(20000))")
    with open(work / "app.db", "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200)
    before = (work / "app.db").read_bytes()
    looks, findings = judge(work, tmp_path / "judged", reference, (), "app")
    assert [each.identity.invariant for each in findings] == ["well-formed"]
    assert looks[0].problem
    assert (work / "app.db").read_bytes() == before
    assert [path.name for path in work.iterdir()] == ["app.db"]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"subject": "x", "fault": "kill", "identity": "a", "message": ""}',
        '{"subject": "x", "fault": "rm -rf", "identity": "a", "message": ""}',
        '{"subject": "x", "fault": "kill@start", "identity": "a", "message": "", "command": "rm"}',
        '{"subject": "x", "fault": "kill@start", "identity": "a", "message": "", "format_version": 2}',
        '{"subject": "x", "fault": "kill@start", "identity": "a", "message": "", "timeout_s": 1e9}',
        '{"subject": "x", "fault": "kill@start", "identity": "a", "message": "", "ack_on": "("}',
    ],
)
def test_a_case_that_is_none_is_refused(tmp_path, text):
    (tmp_path / KILLED_CASE).write_text(text)
    with pytest.raises(RecordError):
        load_killed_case(tmp_path)


def test_a_moment_has_one_text():
    assert str(Hit("kill", ACK, 3, 1500)) == "kill@ack#3 delay=1500us"
    assert str(Hit("term", OPEN, 0, 2000, grace_ms=500)) == "term@open delay=2ms grace=500ms"
    assert Program(("./a.out",)).name == "a.out"
