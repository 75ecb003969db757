"""What recording with both recorders costs a whole process: at most 1.5 times for commits."""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("plain_files_cost.py")
ROUNDS = 7


@pytest.mark.slow
@pytest.mark.parametrize(("work", "ratio_max"), [("NORMAL", 1.5), ("FULL", 1.5), ("write", 1.5), ("replace", 2.5)])
def test_recording_is_cheap_enough(tmp_path, work, ratio_max):
    def seconds(how: str) -> float:
        directory = tempfile.mkdtemp(dir=tmp_path)
        start = time.perf_counter()
        subprocess.run([sys.executable, str(PROGRAM), directory, work, how], check=True, timeout=60)
        took = time.perf_counter() - start
        shutil.rmtree(directory)
        return took

    # Interleaved and as ratios, so that what else the machine does strikes both alike.
    ratios = [1 / seconds("bare") * seconds("recorded") for _ in range(ROUNDS)]
    median = statistics.median(ratios)
    print(f"{work}: recorded / bare = {median:.2f} (median of {ROUNDS} interleaved rounds)")
    assert median <= ratio_max
