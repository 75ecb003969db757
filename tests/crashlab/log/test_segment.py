"""A full segment's memory goes on as the next one: what a kill, an exception or an append in the middle leaves."""

import os
import subprocess
import sys
import textwrap

import pytest

from crashlab.log.reader import read_log
from crashlab.log.writer import LogWriter

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a mapped file cannot be replaced there")
SEGMENT = 4096
PAYLOAD = b"n" * 100
PER_SEGMENT = (SEGMENT - 64) // 136


@pytest.fixture
def base(tmp_path):
    return str(tmp_path / "log.0")


def check(base, records):
    found = list(read_log(base))
    assert [record.seq for record in found] == list(range(records))
    assert all(record.payload == PAYLOAD for record in found)
    segments = sorted(name for name in os.listdir(os.path.dirname(base)) if "copy" not in name)
    assert segments == [f"log.0.{number:04d}" for number in range(len(segments))]


def in_the_middle(monkeypatch, step, do, when):
    """Let `do()` run before or after the first step of that name of a roll-over."""
    original, done = getattr(os, step), []

    def wrapped(*arguments):
        first, done[:] = not done, [True]
        if first and when == "before":
            do()
        result = original(*arguments)
        if first and when == "after":
            do()
        return result

    if step != "rename":
        monkeypatch.setattr(os, step, wrapped)
    else:
        monkeypatch.setitem(LogWriter._go_on.__kwdefaults__, step, wrapped)


EVERY_STEP = [(step, when) for step in ("write", "link", "rename") for when in ("before", "after")]


def test_the_memory_of_a_full_segment_is_the_next_ones(base):
    log = LogWriter(base, segment_bytes=SEGMENT)
    memory = log._at[2].map
    for _ in range(5 * PER_SEGMENT):
        log.append(6, PAYLOAD)
    assert log._at[2].map is memory
    check(base, 5 * PER_SEGMENT)
    assert [os.stat(f"{base}.{number:04d}").st_nlink for number in range(5)] == [1] * 5


@pytest.mark.parametrize(("step", "when"), EVERY_STEP)
def test_an_append_in_the_middle_keeps_every_record_once(base, monkeypatch, step, when):
    log = LogWriter(base, segment_bytes=SEGMENT)
    more = 2 * PER_SEGMENT + 3  # a finaliser that itself fills segments
    in_the_middle(monkeypatch, step, lambda: [log.append(6, PAYLOAD) for _ in range(more)], when)
    for _ in range(4 * PER_SEGMENT):
        log.append(6, PAYLOAD)
    check(base, 4 * PER_SEGMENT + more)


@pytest.mark.parametrize(("step", "when"), EVERY_STEP)
def test_a_signal_handler_that_raises_there_loses_nothing(base, monkeypatch, step, when):
    def strike():
        raise KeyboardInterrupt

    log = LogWriter(base, segment_bytes=SEGMENT)
    in_the_middle(monkeypatch, step, strike, when)
    struck = 0
    for _ in range(4 * PER_SEGMENT):
        try:
            log.append(6, PAYLOAD)
        except KeyboardInterrupt:
            struck += 1
    assert struck == 1
    check(base, 4 * PER_SEGMENT - 1)


@pytest.mark.parametrize(("step", "when"), EVERY_STEP)
def test_after_a_kill_there_every_record_is_there(base, step, when):
    program = f"""
        import os, signal, sys
        from crashlab.log.writer import LogWriter
        log = LogWriter(sys.argv[1], segment_bytes={SEGMENT})
        original = os.{step}
        calls = []
        def wrapped(*arguments):
            calls.append(1)
            if len(calls) == 3 and "{when}" == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        if "{step}" != "rename":
            os.{step} = wrapped
        else:
            LogWriter._go_on.__kwdefaults__["rename"] = wrapped
        while True:
            log.append(6, {PAYLOAD!r})
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program), base], timeout=60, check=False)
    assert ended.returncode == -9
    check(base, 3 * PER_SEGMENT)


def test_where_files_have_one_name_each_segment_is_mapped_anew(base, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    log = LogWriter(base, segment_bytes=SEGMENT)
    for _ in range(4 * PER_SEGMENT):
        log.append(6, PAYLOAD)
    check(base, 4 * PER_SEGMENT)
    assert not [name for name in os.listdir(os.path.dirname(base)) if "copy" in name]
