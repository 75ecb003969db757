"""What was acknowledged in a run of the gallery, and what a salvage of the files gives back of it."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from crashlab.diagnosis.salvage import list_choices, salvage
from crashlab.errors import LabError, LimitError, UsageError
from crashlab.gallery.host import Host
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.sqlite.checksum import FRAME_HEADER
from crashlab.sqlite.wal import parse_wal


def kept(path):
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("select who, v from t"))


def lost(path, acked):
    """How many of the acked rows are not in the new database as they were."""
    there = kept(path)
    return sum(there.get(key) != value for key, value in acked.items())


def test_a_ghost_wal_gives_back_what_a_kill_took(played, tmp_path):
    run = played("a1-kill", 3)
    report = salvage(run.main, tmp_path / "new.db", wals=[run.rescued["wal"]])
    assert (report.exit_code, report.source.wal) == (0, "state.db-wal")
    assert lost(tmp_path / "new.db", run.acked) == 0
    ignored = salvage(run.main, tmp_path / "without.db")  # what a salvage that ignores it would give
    assert ignored.complete
    assert lost(tmp_path / "without.db", run.acked) > 0


@pytest.mark.slow
def test_two_generations_of_one_database_are_merged(played, tmp_path):
    """The ghost WAL has rows that the newer one has not, and the other way round, under the same rowids."""
    run = played("a2-sidecars", 3)
    ghost = [run.rescued["wal"]]
    alone = [salvage(run.main, tmp_path / "newer.db"), salvage(run.main, tmp_path / "ghost.db", wals=ghost)]
    assert [report.complete for report in alone] == [True, True]
    assert lost(tmp_path / "newer.db", run.acked) > 0
    assert lost(tmp_path / "ghost.db", run.acked) > 0
    report = salvage(run.main, tmp_path / "both.db", wals=ghost, merge=["all"], renumber=True)
    (table,) = report.tables
    assert lost(tmp_path / "both.db", run.acked) == 0
    assert table.rows == len(run.acked)
    assert table.merged == table.renumbered > 0
    assert not any(report.checks.values())
    report = salvage(run.main, tmp_path / "aside.db", wals=ghost, merge=["all"])
    (table,) = report.tables
    assert report.exit_code == 1
    with closing(sqlite3.connect(tmp_path / "aside.db")) as connection:
        aside = dict(connection.execute("select c1_who, c2_v from crashlab_aside_t"))
    assert len(aside) == table.aside == lost(tmp_path / "aside.db", run.acked)
    assert {**kept(tmp_path / "aside.db"), **aside} == run.acked


@pytest.mark.slow
def test_a_replaced_main_file_is_had_from_its_holder(played, tmp_path):
    """Each side has its own rows; the rescued files give those of the process that nobody saw any more."""
    run = played("a2-replace", 3)
    report = salvage(run.rescued["main"], tmp_path / "holder.db")
    assert report.exit_code == 0
    there = kept(tmp_path / "holder.db")
    assert there == {key: value for key, value in run.acked.items() if not key.startswith("Y")}
    assert set(run.acked) == set(there) | set(kept(salvage(run.main, tmp_path / "path.db").new))


@pytest.fixture(scope="module")
def left_by(tmp_path_factory):
    """`left_by(id, control=False)`: main file that a run left, and its acked rows."""
    made = {}

    def play(name, control=False):
        if load_exhibits()[name].missing_needs():
            pytest.skip(f"needs {load_exhibits()[name].missing_needs()}")
        if (name, control) not in made:
            place = tmp_path_factory.mktemp("left") / "files"
            with Host() as host:
                host.play(load_exhibits()[name], 5, control=control, keep=place)
            made[name, control] = place / "state.db"
        return made[name, control]

    return play


def acked_by(control):
    """The rows that the undamaged twin of a run has: the same seed writes the same."""
    copy = control.with_name("opened.db")
    if not copy.exists():
        shutil.copy(control, copy)
        shutil.copy(f"{control}-wal", f"{copy}-wal")
    return kept(copy)


@pytest.mark.slow
def test_a_deleted_wal_that_somebody_has_a_copy_of(left_by, tmp_path):
    main, twin = left_by("d3"), left_by("d3", control=True)
    acked = acked_by(twin)
    assert lost(salvage(main, tmp_path / "without.db").new, acked) >= 50
    report = salvage(main, tmp_path / "new.db", wals=[f"{twin}-wal"])
    assert report.exit_code == 0
    assert lost(tmp_path / "new.db", acked) == 0


@pytest.mark.parametrize(
    "exhibit", ["e5", *(pytest.param(each, marks=pytest.mark.slow) for each in ("e5-torn", "e5-salt"))]
)
def test_a_broken_wal_is_mended_where_its_checksums_prove_how(left_by, tmp_path, exhibit):
    main, acked = left_by(exhibit), acked_by(left_by(exhibit, control=True))
    plain = salvage(main, tmp_path / "plain.db", mend=False)
    assert lost(tmp_path / "plain.db", acked) > 0
    assert not plain.mended
    report = salvage(main, tmp_path / "new.db")
    assert lost(tmp_path / "new.db", acked) == 0
    assert [mended.proven for mended in report.mended] == [True]
    assert report.exit_code == 0


@pytest.mark.slow
def test_whole_frames_behind_one_that_cannot_be_mended_are_to_be_had_and_marked(left_by, tmp_path):
    main, acked = left_by("e5"), acked_by(left_by("e5", control=True))
    copy = tmp_path / "a.db"
    shutil.copy(main, copy)
    data = bytearray(main.with_name("state.db-wal").read_bytes())
    wal = parse_wal(bytes(data))
    for byte in (100, 1000, 2000):  # more than one bit: no candidate is left
        data[wal.offset(wal.valid) + FRAME_HEADER + byte] ^= 0x5A
    (tmp_path / "a.db-wal").write_bytes(data)
    default = salvage(copy, tmp_path / "default.db")
    assert (default.source.kind, default.mended) == ("chain", ())
    assert lost(tmp_path / "default.db", acked) > 0
    assert "behind a break" in {choice.kind for choice in default.alternatives}
    report = salvage(copy, tmp_path / "new.db", at="2")
    assert report.source.kind == "behind a break"
    assert any(f"broken frame {wal.valid + 1}" in mark for mark in report.source.marks)
    assert report.exit_code == 1  # in doubt, although nothing is missing
    assert lost(tmp_path / "new.db", acked) == 0


def test_a_commit_whose_last_frame_is_torn_is_to_be_had_and_marked(tmp_path):
    """The row is in the frame before it; what the torn one had, a page of an index, is built anew."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table t(who, v)")
        connection.execute("create index tv on t(v)")
        for number in range(5):
            connection.execute("insert into t values (?, ?)", (f"k{number}", f"v{number}"))
        main, wal = ((tmp_path / name).read_bytes() for name in ("a.db", "a.db-wal"))
    (tmp_path / "b.db").write_bytes(main)
    (tmp_path / "b.db-wal").write_bytes(wal[:-4000])
    assert len(kept(salvage(tmp_path / "b.db", tmp_path / "plain.db").new)) == 4
    report = salvage(tmp_path / "b.db", tmp_path / "new.db", at="2:1")
    assert (report.method, report.exit_code) == ("rows", 1)
    assert any("never acked" in mark for mark in report.source.marks)
    assert kept(tmp_path / "new.db") == {f"k{number}": f"v{number}" for number in range(5)}
    assert not any(report.checks.values())


@pytest.mark.slow
def test_a_wal_header_that_is_lost_is_found_again(left_by, tmp_path):
    twin = left_by("d3", control=True)
    shutil.copy(twin, tmp_path / "a.db")
    data = (twin.parent / "state.db-wal").read_bytes()
    (tmp_path / "a.db-wal").write_bytes(b"\xee" * 32 + data[32:])
    report = salvage(tmp_path / "a.db", tmp_path / "new.db")
    assert report.mended[0].proven
    assert lost(tmp_path / "new.db", acked_by(twin)) == 0


@pytest.mark.slow
def test_a_hot_journal_is_rolled_back(left_by, tmp_path):
    """The main file alone has half a transaction; with its journal it is as it was."""
    main = left_by("d3-journal", control=True)
    assert main.with_name("state.db-journal").exists()
    report = salvage(main, tmp_path / "new.db")
    assert (report.exit_code, report.source.id, report.method) == (0, "main", "pages")
    assert "rolled back" in report.source.kind
    assert not any(value.startswith("y") for value in kept(tmp_path / "new.db").values())
    shutil.copy(main, tmp_path / "alone.db")
    assert salvage(tmp_path / "alone.db", tmp_path / "half.db").source.scope != "sound"


def test_every_commit_of_the_chain_can_be_had(left_by, tmp_path):
    """Time travel: each commit has one row more than the one before."""
    twin = left_by("e5", control=True)
    listing = list_choices(twin)
    chain = [choice for choice in listing.choices if choice.kind == "chain"]
    counted = [choice.rows["t"] for choice in chain]
    assert counted == list(range(counted[0], counted[0] + len(chain)))
    assert listing.chosen == chain[-1].id
    middle = chain[len(chain) // 2]
    assert len(kept(salvage(twin, tmp_path / "new.db", at=middle.id).new)) == middle.rows["t"]


def test_a_wal_of_an_older_main_file_is_not_taken(tmp_path):
    """It has every page and is sound in itself: an older database, with more commits than the main file alone."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table t(who primary key, v)")
        connection.executemany("insert into t values (?, zeroblob(300))", [(f"k{n}",) for n in range(200)])
        stale = (tmp_path / "a.db-wal").read_bytes()
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.execute("drop table t")
        connection.execute("vacuum")
        connection.execute("create table other(who, v)")
        connection.executemany("insert into other values (?, zeroblob(900))", [(f"k{n}",) for n in range(500)])
    (tmp_path / "a.db-wal").write_bytes(stale)
    report = salvage(path, tmp_path / "new.db")
    assert report.source.id == "main"
    assert next(table.rows for table in report.tables) == 500
    (other,) = report.alternatives
    assert (other.scope, other.commits) == ("sound", len(parse_wal(stale).commits))
    assert any("older main file" in mark for mark in other.marks)


@pytest.mark.slow
def test_refusals_and_limits(left_by, tmp_path):
    twin = left_by("e5", control=True)
    (tmp_path / "there.db").write_bytes(b"precious")
    with pytest.raises(UsageError, match="never overwritten"):
        salvage(twin, tmp_path / "there.db")
    (tmp_path / "new.db.ledger.txt").write_text("precious")
    with pytest.raises(UsageError, match="never overwritten"):
        salvage(twin, tmp_path / "new.db")
    (tmp_path / "new.db.ledger.txt").unlink()
    with pytest.raises(UsageError, match="no choice '9:1'; there are main, 1:1 to 1:"):
        salvage(twin, tmp_path / "new.db", at="9:1")
    with pytest.raises(UsageError, match="does not exist"):
        salvage(tmp_path / "none.db", tmp_path / "new.db")
    with pytest.raises(LimitError, match="the limit is 10"):
        salvage(twin, tmp_path / "new.db", bytes_max=10)
    with pytest.raises(LimitError, match="--pages-max"):
        salvage(twin, tmp_path / "new.db", pages_max=2)
    with pytest.raises(LimitError, match="--rows-max"):
        salvage(twin, tmp_path / "new.db", rows_max=2, method="rows")
    (tmp_path / "notes.txt").write_text("no database\n" * 100)
    with pytest.raises((UsageError, LabError), match="not a database"):
        salvage(tmp_path / "notes.txt", tmp_path / "new.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "there.db"]


def test_the_command(left_by, tmp_path):
    main = left_by("e5")
    before = {path.name: path.read_bytes() for path in main.parent.iterdir() if path.is_file()}

    def command(*arguments):
        line = [sys.executable, "-c", "from crashlab.cli import main; main()", "salvage", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    done = command(main, "--list")
    assert done.returncode == 0
    assert "* 1:" in done.stdout
    done = command(main, "--into", tmp_path / "new.db")
    assert (done.returncode, done.stdout.partition(" ")[0]) == (0, "COMPLETE")
    ledger = json.loads((tmp_path / "new.db.ledger.json").read_text())
    assert max(frame for _page, frame, _proven in ledger["images"]) == ledger["source"]["frames"]
    assert (tmp_path / "new.db.ledger.txt").read_text() == done.stdout
    done = command(main, "--into", tmp_path / "new.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert "never overwritten" in done.stderr
    assert command(main).returncode == 2
    assert {path.name: path.read_bytes() for path in main.parent.iterdir() if path.is_file()} == before
