import os
import signal
import subprocess
import sys
import time

import pytest

from crashlab.writers.killtimer import AVAILABLE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


def run(text: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", f"from crashlab.writers.killtimer import *; import time\n{text}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_delay_kills_at_once():
    ended = run("print('before', flush=True); kill_self_in(0); print('after', flush=True)")
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "before\n")


@pytest.mark.skipif(not AVAILABLE, reason="no timer that carries a signal here")
def test_the_kill_comes_after_its_delay_whatever_runs():
    started = time.monotonic()
    ended = run(
        "t = time.monotonic(); kill_self_in(150_000)\n"
        "while True: print(time.monotonic() - t, flush=True); sum(range(20_000))"
    )
    assert ended.returncode == -signal.SIGKILL
    assert 0.1 < float(ended.stdout.split()[-1]) < time.monotonic() - started


@pytest.mark.skipif(not AVAILABLE, reason="no timer that carries a signal here")
def test_a_kill_interrupts_a_system_call_and_cannot_be_caught():
    ended = run(
        "import signal\n"
        "for n in range(1, 32):\n"
        "    if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\n"
        "kill_self_in(20_000); time.sleep(30)"
    )
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.skipif(not AVAILABLE, reason="no timer that carries a signal here")
def test_a_process_that_ends_first_ends_its_own_way():
    assert run("kill_self_in(600_000_000)").returncode == 0
