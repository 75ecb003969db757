"""The watch itself: what it collects, whom it serves, what it never does to the program."""

import os
import sqlite3
import subprocess
import sys
import textwrap
import warnings

import pytest

import crashlab
from crashlab.diagnosis.hazards import Hazard, watcher
from crashlab.errors import UsageError
from crashlab.hazards import CrashlabHazardWarning, HazardsFoundError, watch, whole


@pytest.fixture
def database(tmp_path):
    """A WAL database with a commit in its -wal, open from inside the test's watch."""
    opened = []

    def make(name: str = "app.db") -> tuple[sqlite3.Connection, str]:
        path = str(tmp_path / name)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t(x)")
        opened.append(connection)
        return connection, path

    yield make
    for connection in opened:
        connection.close()


def read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(16)


def test_the_module_is_there_after_import_crashlab():
    assert crashlab.hazards.watch is watch
    assert "hazards" in dir(crashlab)


def test_equal_ones_are_counted_and_the_user_s_line_comes_first(database):
    with watch() as seen:
        _, path = database()
        for _ in range(3):
            read(path)
        read(path)
    (one,) = seen.hazards  # the place is the line that opens
    assert one.count == 4
    assert one.place is not None
    assert (one.place.file, one.place.function) == (__file__, "read")
    assert one.stack[1].function == "test_equal_ones_are_counted_and_the_user_s_line_comes_first"


def test_the_text_says_what_why_what_instead_and_how_to_silence(database):
    with watch() as seen:
        _, path = database()
        read(path)
    text = whole(seen.hazards[0])
    for part in (
        "stray-open [danger]",
        path,
        "open('app.db', 'r')",
        "test_watch.py:",
        "why ",
        "instead ",
        "silence ",
        "# crashlab: ignore[stray-open]",
        "https://sqlite.org/howtocorrupt",
    ):
        assert part in text
    assert Hazard.from_data(seen.hazards[0].as_data()) == seen.hazards[0]


@pytest.mark.parametrize("entry", ["stray-open", "stray-open:*/app.db", "stray-open:app.db", ":app.db"])
def test_what_is_ignored_is_not_told(database, entry):
    with watch(ignore=(entry,)) as seen:
        read(database()[1])
        read(database("other.db")[1])
    assert [os.path.basename(hazard.path) for hazard in seen.hazards] == ([] if entry == "stray-open" else ["other.db"])


def test_a_comment_on_the_line_silences_it_for_its_id_alone(database):
    with watch() as seen:
        _, path = database()
        open(path, "rb").close()  # crashlab: ignore[stray-open]
        open(path, "rb").close()  # crashlab: ignore
        open(path, "rb").close()  # crashlab: ignore[dropped-transaction]
    assert [hazard.count for hazard in seen.hazards] == [1]


def test_bad_arguments_say_what_was_expected():
    with pytest.raises(UsageError, match=r"on='eror'.*collect, warn, error.*did you mean 'error'"):
        watch(on="eror")
    with pytest.raises(UsageError, match=r"no hazard 'stray-opn'.*did you mean 'stray-open'"):
        watch(ignore=("stray-opn",))
    with pytest.raises(UsageError, match=r"expected a tuple"):
        watch(ignore="stray-open")


def test_warn_warns_at_the_line_and_error_raises_at_the_end(database):
    with warnings.catch_warnings(record=True) as caught, watch(on="warn"):
        warnings.simplefilter("always")
        read(database()[1])
    assert [(each.category, each.filename) for each in caught] == [(CrashlabHazardWarning, __file__)]
    path = ""

    def program(*, fails: bool) -> None:
        nonlocal path
        with watch(on="error"):
            _, path = database("c.db" if fails else "b.db")
            read(path)  # not prevented
            if fails:
                raise ZeroDivisionError

    with pytest.raises(HazardsFoundError, match="stray-open") as raised:
        program(fails=False)
    assert raised.value.exit_code == 1
    with pytest.raises(ZeroDivisionError):
        program(fails=True)


def test_a_watch_inside_a_watch_takes_the_hazards_for_itself(database):
    with watch() as outer:
        _, path = database()
        with watch() as inner:
            read(path)
        assert len(inner.hazards) == 1
        assert outer.hazards == []
        read(path)
    assert len(outer.hazards) == 1
    read(path)
    assert len(outer.hazards) == 1


def test_the_watch_never_opens_a_database_file_and_leaves_the_locks(database):
    opened = []

    def hook(event, arguments):
        if armed and event == "open" and str(arguments[0]).startswith(prefix):
            opened.append(arguments[0])

    armed, prefix = [], "?"
    sys.addaudithook(hook)
    with watch() as seen:
        connection, path = database()
        prefix = path
        armed.append(1)
        with connection:
            connection.execute("INSERT INTO t VALUES (1)")
        seen.look()
        sqlite3.connect(path).close()
    armed.clear()
    assert opened == []
    if sys.platform.startswith("linux"):
        with open("/proc/locks") as locks:
            assert f":{os.stat(path).st_ino} 1073741826 1073742335" in locks.read()


def test_an_error_of_ours_never_reaches_the_program(database, monkeypatch):
    monkeypatch.setattr(watcher.Watcher, "_enter", lambda *_: 1 / 0)
    monkeypatch.setattr(watcher.WATCHER, "problems", [])
    with watch() as seen:
        connection, _ = database()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert seen.problems == ["ZeroDivisionError: division by zero"]


def in_a_process_of_its_own(code: str, directory) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=directory, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_where_sqlite_cannot_be_reached_the_gap_is_named_and_stray_opens_are_still_seen(tmp_path):
    printed = in_a_process_of_its_own(
        """
        import sqlite3
        import crashlab
        from crashlab.diagnosis.hazards.seam import Seam

        def refuse(_self):
            raise crashlab.TapUnavailableError("no symbols")

        Seam.__init__ = refuse
        with crashlab.hazards.watch() as seen:
            sqlite3.connect("app.db").execute("CREATE TABLE t(x)").connection.close()
            open("app.db", "rb").close()
            connection = sqlite3.connect("app.db")
            open("app.db", "rb").close()
            connection.close()
            open("app.db", "rb").close()
        print(*((hazard.id, hazard.place.line, hazard.count) for hazard in seen.hazards))
        print(*seen.gaps)
        """,
        tmp_path,
    )
    told, gap = printed.splitlines()
    assert told == "('stray-open', 14, 1)"
    assert "dropped-transaction" in gap
    assert "no symbols" in gap


def test_connections_that_outlive_the_watch_and_the_interpreter_do_no_harm(tmp_path):
    printed = in_a_process_of_its_own(
        """
        import sqlite3, crashlab
        with crashlab.hazards.watch():
            c = sqlite3.connect("a.db"); c.execute("CREATE TABLE t(x)")
            kept = [c]; kept.append(kept)
            d = sqlite3.connect("b.db")
        d.set_trace_callback(None)
        c.execute("INSERT INTO t VALUES (1)")
        print("well")
        """,
        tmp_path,
    )
    assert printed == "well\n"


def test_a_program_that_replaces_the_trace_makes_no_false_alarm(database):
    with watch() as seen:
        connection, path = database()
        connection.set_trace_callback(lambda _sql: None)  # ours is gone, and so is the notice of the close
        connection.close()
        if sys.platform.startswith("linux"):
            read(path)
    assert seen.hazards == []
