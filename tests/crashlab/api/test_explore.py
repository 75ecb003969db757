"""`crashlab.explore`: a plain function under every crash of its run, with planted bugs and their twins."""

import asyncio
import os
import sqlite3
import subprocess
import sys

import pytest

from crashlab import ExploreFailedError, LabError, SubjectError, UsageError, explore
from crashlab.sqlite.tap import tap_problem

pytestmark = pytest.mark.skipif(tap_problem() is not None, reason="computed crash states need the tap")
STATES = 300
POWER = "power loss"


def opened(db, synchronous="FULL"):
    con = sqlite3.connect(db, isolation_level=None)
    con.execute("PRAGMA journal_mode=WAL")
    con.execute(f"PRAGMA synchronous={synchronous}")
    return con


def writes(db, synchronous="FULL", rows=5):
    con = opened(db, synchronous)
    con.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    for number in range(rows):
        con.execute("INSERT INTO t VALUES(?, ?)", (number, "x" * 200))
        yield number
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    con.close()


def acks(db, ack, early):
    con = opened(db)
    con.execute("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    for number in range(5):
        con.execute("BEGIN")
        con.execute("INSERT INTO t VALUES(?)", (number,))
        if early:
            ack(number)
        con.execute("COMMIT")
        if not early:
            ack(number)
    con.close()


def moves(db, whole):
    """Takes from one account and gives to the other, in one transaction or in two."""
    con = opened(db)
    con.execute("BEGIN")
    con.execute("CREATE TABLE account(name TEXT PRIMARY KEY, value INTEGER)")
    con.execute("INSERT INTO account VALUES('a', 10), ('b', 0)")
    con.execute("COMMIT")
    for _ in range(3):
        if whole:
            con.execute("BEGIN")
        con.execute("UPDATE account SET value = value - 1 WHERE name = 'a'")
        con.execute("UPDATE account SET value = value + 1 WHERE name = 'b'")
        if whole:
            con.execute("COMMIT")
    con.close()


def stores(directory, file_first):
    """Keeps blobs in files and their names in rows."""
    con = opened(directory / "blobs.db")
    con.execute("CREATE TABLE blob(name TEXT PRIMARY KEY)")

    def put(name):
        with open(directory / name, "wb") as file:
            file.write(b"blob" * 100)
            file.flush()
            os.fsync(file.fileno())
        there = os.open(directory, os.O_RDONLY)
        os.fsync(there)
        os.close(there)

    for number in range(3):
        name = f"blob-{number}"
        if file_first:
            put(name)
        con.execute("INSERT INTO blob VALUES(?)", (name,))
        if not file_first:
            put(name)
    con.close()


def acked_rows(db, acked):
    assert set(acked) <= {row[0] for row in db.execute("SELECT id FROM t")}


def total(db):
    found = db.execute("SELECT sum(value) FROM account").fetchone()[0]
    assert found in (10, None), f"the accounts hold {found} together, expected 10"


PLANTED = [
    ("synchronous=OFF", writes, {"synchronous": "OFF"}, {"synchronous": "FULL"}, acked_rows, "history/", {POWER}),
    ("synchronous=NORMAL", writes, {"synchronous": "NORMAL"}, {}, acked_rows, "check/acked_rows", {POWER}),
    ("ack before commit", acks, {"early": True}, {"early": False}, acked_rows, "history/acked-commits", None),
    ("half a transaction", moves, {"whole": False}, {"whole": True}, total, "check/total", None),
    ("blob after row", stores, {"file_first": False}, {"file_first": True}, (), "history/named-files", None),
]


@pytest.mark.parametrize(("name", "writer", "broken", "sound", "checks", "invariant", "only"), PLANTED, ids=lambda v: v)
def test_the_planted_bug_is_found_and_its_twin_left_in_peace(
    name, writer, broken, sound, checks, invariant, only, tmp_path
):
    found = explore(writer, arguments=broken, checks=checks, budget=STATES, results=tmp_path)
    told = [finding for finding in found.findings if finding.invariant.startswith(invariant)]
    assert told, found.summary
    assert {finding.fault_class for finding in told} == (only or {"process death", POWER})
    with pytest.raises(ExploreFailedError, match=invariant):
        found.assert_passed()
    twin = explore(writer, arguments=sound, checks=checks, budget=STATES, results=tmp_path)
    twin.assert_passed()
    assert twin.states > STATES
    assert twin.commits
    assert all(times > 0 for times in twin.checks.values())
    assert f"0/{twin.states}, 95 % upper bound" in twin.summary
    assert "process death" not in twin.summary
    assert "kill and power" in twin.summary


def test_a_kept_case_is_judged_again_and_made_smaller_without_its_writer(tmp_path):
    found = explore(writes, arguments={"synchronous": "NORMAL"}, checks=acked_rows, budget=STATES, results=tmp_path)
    (finding,) = found.findings
    assert finding.case is not None
    assert (finding.case / "evidence").is_dir()
    again = explore(_never, checks=acked_rows, replay=finding.case)
    assert [(each.invariant, each.message) for each in again.findings] == [(finding.invariant, finding.message)]
    explore(_never, checks=lambda db: True, replay=finding.case).assert_passed()
    smaller = explore(_never, checks=acked_rows, reduce=finding.case)
    assert [each.invariant for each in smaller.findings] == [finding.invariant]


def _never(db):
    raise RuntimeError("a replay runs no writer")


def test_the_same_run_gives_the_same_answer(tmp_path):
    results = [explore(writes, checks=acked_rows, budget=STATES, seed=7, results=None) for _ in range(2)]
    assert results[0].summary == results[1].summary
    assert results[0].checks == results[1].checks


class Holder:
    def __init__(self, rows):
        self.rows = rows

    async def writes(self, path, ack):
        await asyncio.sleep(0)
        for number in writes(path, rows=self.rows):
            ack(("row", number))


def test_a_writer_may_be_a_method_async_or_close_over_values(tmp_path):
    assert explore(Holder(3).writes, budget=50, results=None).acks == 3
    rows, inner = 2, writes

    async def nested(db):
        for number in inner(db, rows=rows):
            yield number
            assert number < rows

    assert explore(nested, budget=50, results=None).acks == 2
    assert explore(lambda db: list(inner(db)), budget=50, results=None).commits


def test_a_script_is_a_writer(tmp_path):
    script = tmp_path / "app.py"
    script.write_text(
        "import sqlite3\ncon = sqlite3.connect('app.db', isolation_level=None)\n"
        "con.execute('PRAGMA journal_mode=WAL')\n"
        "con.execute('PRAGMA synchronous=FULL')\ncon.execute('CREATE TABLE t(id)')\n"
        "for i in range(3):\n    con.execute('INSERT INTO t VALUES(?)', (i,))\n    print('done', i)\ncon.close()\n"
    )
    result = explore(script, ack_on=r"done (\d+)", checks=lambda db, acked: None, budget=100, results=tmp_path / "r")
    result.assert_passed()
    assert result.acks == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.py"]


def _fails(db):
    raise ValueError("its own mistake")


def _strays(where):
    sqlite3.connect(where).execute("CREATE TABLE t(x)")


def _hangs(db):
    while True:
        pass


def _unsound(db):
    assert db.execute("SELECT count(*) FROM t").fetchone()[0] > 5


def test_what_is_not_the_crash_s_fault_is_told_as_such(tmp_path):
    with pytest.raises(
        SubjectError, match=r"writer _fails itself failed(?s:.*)in _fails(?s:.*)ValueError: its own mistake"
    ):
        explore(_fails, results=tmp_path)
    with pytest.raises(SubjectError, match="did not end"):
        explore(_hangs, timeout=1, results=tmp_path)
    with pytest.raises(SubjectError, match="check _unsound fails on the database as the writer left it"):
        explore(writes, checks=_unsound, results=tmp_path)
    missed = explore(lambda db: None, results=tmp_path)
    assert not missed.passed
    with pytest.raises(ExploreFailedError, match="MISSED"):
        missed.assert_passed()
    with pytest.raises(LabError, match=r"outside the private copy.*; let the writer put everything"):
        explore(_strays, arguments={"where": str(tmp_path / "x.db")}, results=tmp_path)
    con = sqlite3.connect(":memory:")
    with pytest.raises(UsageError, match="variable 'con'"):
        explore(lambda db: con.execute("SELECT 1"), results=tmp_path)
    con.close()
    for bad, words in (
        ({"faults": "powr"}, "did you mean 'power'"),
        ({"budget": 0}, "expected a number of crash states"),
        ({"arguments": {"no": 1}}, "no parameter 'no'"),
        ({"checks": lambda dbb: None}, "its parameter 'dbb'"),
        ({"start": tmp_path / "no"}, "expected a directory"),
    ):
        with pytest.raises(UsageError, match=words):
            explore(writes, results=tmp_path, **bad)
    assert not list(tmp_path.iterdir())


def test_a_script_without_a_guard_is_not_run_twice(tmp_path):
    (tmp_path / "main.py").write_text("import crashlab\ndef w(db): pass\ncrashlab.explore(w)\n")
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "if __name__ == '__main__'" in done.stderr
