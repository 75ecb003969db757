"""The quick way of the recorder: a kept descriptor is never taken for another open file, and keeps no lock alive."""

import fcntl
import shutil
import sys

import pytest

from crashlab.states.replay import require_same
from crashlab.states.trace import load_trace
from crashlab.writers.record.seccomp import record_tree, seccomp_problem

pytestmark = pytest.mark.skipif(seccomp_problem() is not None, reason=f"no seccomp recording: {seccomp_problem()}")

HEAD = """
import fcntl, os, sqlite3, subprocess, sys, threading
RDWR = os.O_RDWR | os.O_CREAT
def database(name):
    f = os.open(name, RDWR)
    os.pwrite(f, b"SQLite format 3\\0" + bytes(84), 0)
    for number in range(5): os.pwrite(f, b"first" * 9, 100 * number)
    return f
"""


@pytest.fixture
def record(tmp_path):
    def run(code):
        directory, scratch = tmp_path / "run", tmp_path / "replayed"
        directory.mkdir()
        scratch.mkdir()
        base = str(tmp_path / "log.0")
        tree = record_tree([sys.executable, "-c", HEAD + code], str(directory), log_base=base, seconds_max=30)
        assert (tree.ended.code, tree.problems) == (0, ()), tree
        require_same(load_trace([base]), directory, scratch, labs_own=lambda _: False)
        shutil.rmtree(scratch)
        return directory

    return run


def test_a_number_that_stands_for_another_file_now(record):
    directory = record("""
one, two = database("one.db"), database("two.db")
os.close(one); three = database("three.db"); assert three == one
os.pwrite(three, b"third", 300)
os.dup2(two, three); os.pwrite(three, b"second", 400)
os.close(two); plain = os.open("plain", RDWR); assert plain == two
os.pwrite(plain, b"plain", 0)
os.closerange(3, 50); again = os.open("plain", RDWR); os.pwrite(again, b"PL", 0)
""")
    one, two, three = ((directory / f"{name}.db").read_bytes() for name in ("one", "two", "three"))
    assert b"third" in three
    assert b"third" not in one
    assert b"second" in two
    assert b"second" not in one + three
    assert (directory / "plain").read_bytes() == b"PLain"


def test_another_program_in_the_same_process_and_a_forked_one(record):
    directory = record("""
f = database("x.db")
os.set_inheritable(f, True)
if not (pid := os.fork()):
    os.pwrite(f, b"child", 100)
    code = f"import os\\nfor n in range(4): os.pwrite({f}, b'execed %d' % n, 1000 + 10 * n)"
    os.execv(sys.executable, [sys.executable, "-c", code])
assert os.waitpid(pid, 0)[1] == 0
os.pwrite(f, b"parent", 200)
""")
    found = (directory / "x.db").read_bytes()
    assert found[100:105] + found[200:206] == b"childparent"
    assert b"execed 0\0\0execed 1\0\0execed 2\0\0execed 3" in found


def test_a_file_that_was_deleted_or_replaced(record):
    directory = record("""
f = database("x.db")
os.unlink("x.db"); os.pwrite(f, b"gone", 0)
g = database("x.db")
os.rename("x.db", "y.db"); os.pwrite(g, b"moved", 200)
os.set_blocking(g, False); fcntl.fcntl(g, fcntl.F_SETFL, os.O_APPEND); os.pwrite(g, b"end", 0)
""")
    assert [path.name for path in directory.iterdir()] == ["y.db"]
    found = (directory / "y.db").read_bytes()
    assert found[200:205] == b"moved"
    assert found.endswith(b"end"), "Linux appends in pwrite() to a file of O_APPEND, pwrite(2), BUGS"


@pytest.mark.parametrize("lock", ["fcntl.flock(f, fcntl.LOCK_EX)", "ofd(f)"])
def test_a_lock_of_the_open_file_ends_when_the_program_closes_it(record, lock):
    if "ofd" in lock and not hasattr(fcntl, "F_OFD_SETLK"):
        pytest.skip("this Python knows no locks of open files")
    record(f"""
import struct, time
def ofd(f): fcntl.fcntl(f, fcntl.F_OFD_SETLK, struct.pack("hhqqhh", fcntl.F_WRLCK, 0, 0, 0, 0, 0))
f = database("x.db"); {lock}
os.pwrite(f, b"locked", 0); os.pwrite(f, b"locked", 10); os.close(f)
f = os.open("x.db", os.O_RDWR)
{lock.replace("LOCK_EX", "LOCK_EX | fcntl.LOCK_NB")}
""")


def test_threads_that_write_to_one_database(record):
    record("""
f = database("x.db")
def work(number):
    for turn in range(60):
        os.pwrite(f, bytes([65 + number]) * 300, 1000 * number + turn)
        if not turn % 9: os.fdatasync(f)
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""")
