"""What recording costs a whole process: at most 1.5 times the time of 2000 small commits."""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("recording_cost.py")
ROUNDS = 11
RATIO_MAX = 1.5


@pytest.mark.slow
@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_recording_costs_at_most_half_as_much_again(tmp_path, synchronous):
    def seconds(how: str) -> float:
        directory = tempfile.mkdtemp(dir=tmp_path)
        start = time.perf_counter()
        subprocess.run([sys.executable, str(PROGRAM), directory, synchronous, how], check=True, timeout=60)
        took = time.perf_counter() - start
        shutil.rmtree(directory)
        return took

    # Interleaved and as ratios, so that what else the machine does strikes both alike.
    ratios = [1 / seconds("bare") * seconds("recorded") for _ in range(ROUNDS)]
    median = statistics.median(ratios)
    print(f"{synchronous}: recorded / bare = {median:.2f} (median of {ROUNDS} interleaved rounds)")
    assert median <= RATIO_MAX
