"""When the lab itself is killed, its writers go with it."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
OWNER = """
import sys, pathlib
sys.path.insert(0, sys.argv[2])
from crashlab.writers.order import Order
from crashlab.writers.spawn import SpawnLauncher
if sys.platform.startswith("linux"):
    from crashlab.writers.zygote_client import ZygoteLauncher
kind = {"zygote": lambda: ZygoteLauncher, "spawn": lambda: SpawnLauncher}[sys.argv[1]]()
directory = pathlib.Path(sys.argv[3]) / "run"
directory.mkdir()
launcher = kind("odd_workloads:Hangs", (sys.argv[2],))
order = Order(str(directory), str(directory / "state.db"), "odd_workloads:Hangs", 1, {"steps": 9}, deadline_s=300)
launcher.launch(order)
"""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "zygote", marks=pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the zygote is for Linux")
        ),
        "spawn",
    ],
)
def test_writers_do_not_outlive_an_owner_that_was_killed(kind, tmp_path, until, all_gone):
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), kind, HERE, str(tmp_path)], stdin=subprocess.DEVNULL
    )
    try:
        told = tmp_path / "pids"
        until(lambda: told.exists() and len(told.read_text().split()) == 2, 30)
        writer, parent = (int(line) for line in told.read_text().split())
        os.kill(owner.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        owner.wait()
        all_gone([writer, *([parent] if kind == "zygote" else [])])
    finally:
        owner.kill()
        owner.wait()
