import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from crashlab.errors import LimitError
from crashlab.log.format import Kind, segment_name
from crashlab.log.reader import log_bases, merge, read_log
from crashlab.log.writer import LogWriter


def python(text: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *arguments], capture_output=True, timeout=60, check=False
    )


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(tmp_path / "log.0")


def test_records_come_back_whole_and_in_order(base):
    log = LogWriter(base, process=3)
    payloads = [bytes([n]) * n for n in range(40)]
    assert [log.append(Kind.NOTE, payload) for payload in payloads] == list(range(40))
    found = list(read_log(base))  # while the writer still has it mapped, as after a kill
    assert [record.payload for record in found] == payloads
    assert {(record.process, record.kind, record.thread) for record in found} == {(3, Kind.NOTE, threading.get_ident())}
    assert [record.ns for record in found] == sorted(record.ns for record in found)
    log.close()
    assert list(read_log(base)) == found


@pytest.mark.parametrize("over", range(9))
def test_a_record_of_any_size_fits_a_segment_of_its_own(base, over):
    log = LogWriter(base, segment_bytes=4096)
    log.append(Kind.NOTE, b"x" * (20_000 + over))
    log.append(Kind.NOTE, b"y")
    log.close()
    assert [len(record.payload) for record in read_log(base)] == [20_000 + over, 1]


def test_segments_roll_over_and_a_large_record_gets_one_of_its_own(base, tmp_path):
    log = LogWriter(base, segment_bytes=4096)
    for number in range(300):
        log.append(Kind.NOTE, number.to_bytes(4, "little") * 10)
    log.append(Kind.NOTE, b"x" * 20_000)
    log.append(Kind.NOTE, b"last")
    log.close()
    found = list(read_log(base))
    assert [record.seq for record in found] == list(range(302))
    assert [int.from_bytes(record.payload[:4], "little") for record in found[:300]] == list(range(300))
    assert found[300].payload == b"x" * 20_000
    assert found[301].payload == b"last"
    segments = sorted(path.name for path in tmp_path.iterdir())
    assert segments == [f"log.0.{number:04d}" for number in range(len(segments))]
    assert len(segments) > 5
    assert log_bases(str(tmp_path)) == [base]


def test_many_threads_append_without_losing_or_mixing(base):
    log = LogWriter(base, segment_bytes=1 << 14)
    start = threading.Barrier(6)

    def write(name: int) -> None:
        start.wait()
        for number in range(400):
            log.append(Kind.NOTE, f"{name} {number} ".encode() * (1 + number % 7))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = list(read_log(base))
    assert [record.seq for record in found] == list(range(2400))
    of_thread: dict[int, list[bytes]] = {}
    for record in found:
        words = record.payload.split()
        assert record.payload == b"%s %s " % (words[0], words[1]) * (1 + int(words[1]) % 7)
        of_thread.setdefault(record.thread, []).append(words[1])
    assert all(numbers == [b"%d" % n for n in range(400)] for numbers in of_thread.values())


def test_a_log_refuses_to_outgrow_its_limit_and_keeps_what_it_has(base):
    log = LogWriter(base, segment_bytes=4096, bytes_max=8192)
    room = 2 * ((4096 - 64) // (32 + 104))
    for _ in range(room):
        log.append(Kind.NOTE, b"x" * 100)
    for _ in range(2):
        with pytest.raises(LimitError, match="segments of 4096 bytes are full"):
            log.append(Kind.NOTE, b"x" * 100)
    log.close()
    assert len(list(read_log(base))) == room


def test_an_existing_log_is_never_written_over(base):
    LogWriter(base).close()
    with pytest.raises(FileExistsError):
        LogWriter(base)


def test_what_was_appended_survives_sigkill_to_the_last_record(base, tmp_path):
    ended = python(
        """
        import os, signal, sys, threading
        from crashlab.log.writer import LogWriter
        log = LogWriter(sys.argv[1], segment_bytes=1 << 16)
        told = open(sys.argv[2], "wb", buffering=0)
        def write():
            while True:
                seq = log.append(6, b"n" * 30)
                if seq % 100 == 0:
                    told.write(b"%d\\n" % seq)
                if seq == 20_000:
                    os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(3):
            threading.Thread(target=write).start()
        """,
        base,
        str(tmp_path / "told"),
    )
    assert ended.returncode == -signal.SIGKILL
    found = list(read_log(base))
    assert [record.seq for record in found] == list(range(len(found)))
    assert all(record.payload == b"n" * 30 for record in found)
    told = [int(line) for line in (tmp_path / "told").read_bytes().split()]
    assert len(found) > max(told)
    assert len(found) >= 20_001


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_the_child_goes_on_in_a_log_of_its_own(base, tmp_path):
    ended = python(
        """
        import os, sys
        from crashlab.log.writer import LogWriter
        log = LogWriter(sys.argv[1])
        log.note("before")
        pid = os.fork()
        log.note("child" if pid == 0 else "parent")
        if pid == 0:
            log.note("child again")
            os._exit(0)
        os.waitpid(pid, 0)
        log.note("parent again")
        print(pid)
        """,
        base,
    )
    assert ended.returncode == 0, ended.stderr
    child = int(ended.stdout)
    assert log_bases(str(tmp_path)) == [base, f"{base}-fork{child}"]
    parent_log, child_log = (list(read_log(name)) for name in log_bases(str(tmp_path)))
    assert [(r.process, r.seq, r.payload[1:]) for r in parent_log] == [
        (0, 0, b"before"),
        (0, 1, b"parent"),
        (0, 2, b"parent again"),
    ]
    assert [(r.process, r.seq, r.payload[1:]) for r in child_log] == [(child, 0, b"child"), (child, 1, b"child again")]
    merged = merge([parent_log, child_log])
    assert [r.ns for r in merged] == sorted(r.ns for r in merged)
    assert merged[0].payload[1:] == b"before"
    assert merged[-1].payload[1:] == b"parent again"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_another_thread_is_appending_does_not_hang_the_child(base):
    ended = python(
        """
        import os, sys, threading, warnings
        from crashlab.log.writer import LogWriter
        warnings.simplefilter("ignore")
        log = LogWriter(sys.argv[1])
        stop = threading.Event()
        def write():
            while not stop.is_set():
                log.append(6, b"x" * 200)
        threading.Thread(target=write).start()
        for _ in range(30):
            pid = os.fork()
            if pid == 0:
                log.note("child")
                os._exit(0)
            os.waitpid(pid, 0)
        stop.set()
        """,
        base,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(log_bases(str(Path(base).parent))) == 1 + 30


def test_the_first_segment_has_its_name(base):
    LogWriter(base).close()
    assert Path(segment_name(base, 0)).name == "log.0.0000"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_a_signal_handler_that_raises_anywhere_leaves_every_record_whole(base):
    """As a program's own SIGHUP handler does: whatever it interrupts, the log stays readable."""
    ended = python(
        """
        import signal, sys
        from crashlab.log.writer import LogWriter

        class Interrupted(BaseException):
            pass

        def handler(number, frame):
            if frame.f_code.co_name in ("append", "__enter__", "__exit__"):
                raise Interrupted

        log = LogWriter(sys.argv[1], segment_bytes=1 << 24)
        signal.signal(signal.SIGALRM, handler)
        hits = 0
        for number in range(1_000_000):
            if hits == 200:
                break
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00002 + (number % 50) * 1e-7)
                for _ in range(10):
                    log.append(6, b"n" * 30)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupted:
                hits += 1
        print(hits)
        """,
        base,
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 20
    found = list(read_log(base))
    assert [record.seq for record in found] == list(range(len(found)))
    assert all(record.payload == b"n" * 30 for record in found)
