"""Records: whole lines, at once, up to what the disk takes; and progress."""

import errno
import io
import os
import subprocess
import sys

import msgspec
import pytest
from rich.console import Console

from crashlab.engine.events import Emitter
from crashlab.errors import LimitError
from crashlab.model.event import Event, EventKind
from crashlab.report.ndjson import NdjsonWriter, open_records
from crashlab.report.plain import one_line, printable
from crashlab.report.progress import ProgressListener


def test_one_event_a_line_at_once(tmp_path):
    with open_records(tmp_path) as stream:
        emitter = Emitter(NdjsonWriter(stream))
        for number in range(5):
            emitter.emit(EventKind.NOTE, f"t{number}", text="a\nb\u2028c", number=number)
            # Nothing waits in a buffer: a lab that is killed now leaves what there was.
            lines = (tmp_path / "records.ndjson").read_bytes().splitlines()
            assert len(lines) == number + 1
    events = [msgspec.json.decode(line, type=Event) for line in lines]
    assert [(e.seq, e.kind, e.trial_id, e.data["number"], e.format_version) for e in events] == [
        (n, "note", f"t{n}", n, 1) for n in range(5)
    ]


def test_records_are_never_overwritten(tmp_path):
    (tmp_path / "records.ndjson").write_text("mine")
    with pytest.raises(FileExistsError):
        open_records(tmp_path)
    assert (tmp_path / "records.ndjson").read_text() == "mine"


def test_the_cap_is_said_once_and_kept():
    stream = io.BytesIO()
    writer = NdjsonWriter(stream, bytes_max=200)
    emitter = Emitter(writer)
    emitter.emit("note", text="x" * 60)
    with pytest.raises(LimitError, match="reached their cap"):
        emitter.emit("note", text="x" * 200)
    kept = stream.getvalue()
    emitter.emit("note", text="short")
    assert stream.getvalue() == kept
    assert kept.count(b"\n") == 1


class Full(io.BytesIO):
    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_once():
    emitter = Emitter(NdjsonWriter(Full()))
    with pytest.raises(LimitError, match="the disk of the records is full; free some space or point --results"):
        emitter.emit("note")
    emitter.emit("note")


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_line_that_does_not_fit_is_cut_off_again(tmp_path):
    """The system takes 1000 bytes and no more: what is there is whole lines."""
    code = """
import resource, signal, sys
from pathlib import Path
from crashlab.engine.events import Emitter
from crashlab.report.ndjson import NdjsonWriter, open_records
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with open_records(Path(sys.argv[1])) as stream:
    emitter = Emitter(NdjsonWriter(stream))
    try:
        while True:
            emitter.emit("note", text="x" * 60)
    except Exception as error:
        print(type(error).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "LimitError\n"
    data = (tmp_path / "records.ndjson").read_bytes()
    assert 800 < len(data) <= 1000
    assert data.endswith(b"}\n")
    assert all(msgspec.json.decode(line, type=Event) for line in data.splitlines())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain · ünïcode ✓", "plain · ünïcode ✓"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\x00b\x7f\x85\x9b", "a\\x00b\\x7f\\x85\\x9b"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\ud800", "\\ud800"),
        ("a\tb\nc", "a\tb\nc"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n  b\r\n\tc\n", "a b c"),
        ("two  spaces stay", "two  spaces stay"),
        ("a\x85b\u2028c\u2029d", "a b c d"),
        ("a\x1b[2J\nGO", "a\\x1b[2J GO"),
        ("", ""),
    ],
)
def test_one_line(text, shown):
    assert one_line(text) == shown
    assert "\n" not in one_line(text)


def finished(number, verdict, ns):
    return Event(number, ns, EventKind.TRIAL_FINISHED, data={"outcome": {"verdict": verdict}})


def test_progress_on_a_terminal():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, _environ={"TERM": "xterm"})
    with ProgressListener(console, 20, "trials") as progress:
        for number in range(10):
            progress(finished(number, "FAIL" if number == 3 else "PASS", (number + 1) * 1_000_000_000))
        progress(Event(11, 0, EventKind.NOTE))
    assert "10/20" in file.getvalue()
    assert "1/s  1 failure  10 s left" in file.getvalue()


def test_progress_elsewhere_is_a_line_now_and_then():
    file = io.StringIO()
    with ProgressListener(Console(file=file, width=120), 300, "trials") as progress:
        for number in range(70):
            event = finished(number, "FAIL" if number % 9 == 3 else "PASS", (number + 1) * 1_000_000_000)
            event.data["outcome"] |= {"phase": "commit,checkpoint" if number % 2 else "", "findings": []}
            progress(event)
    assert file.getvalue().splitlines() == [
        "31 of 300 trials: 1/s  2 phases  4 failures  4 min 29 s left",
        "61 of 300 trials: 1/s  2 phases  7 failures  3 min 59 s left",
    ]
