"""Five packages under the lab at once, again and again, to see whether a verdict ever wavers.

python tests/external/repeat.py [REPEATS] [WORKERS]

One pytest session under xdist, with few crash states each; its exit code.
"""

import os
import subprocess
import sys
from pathlib import Path

FIVE = ("huey-3.2.1", "huey-3.3.0", "sqlitedict-2.1.0", "diskcache-5.6.3", "persist-queue-1.1.0")
STATES = "300"
TESTS = Path(__file__).with_name("test_packages.py")
TEST = f"{TESTS}::test_a_package_loses_what_its_settings_allow_and_nothing_else"


def main(repeats: int, workers: int) -> int:
    """Run the session; pytest's own output tells how many passed."""
    told = {
        "CRASHLAB_EXTERNAL_STATES": STATES,
        "CRASHLAB_EXTERNAL_REPEATS": str(repeats),
        "CRASHLAB_EXTERNAL_REQUIRED": "1",
    }
    tests = [f"{TEST}[{number}-{name}]" for number in range(repeats) for name in FIVE]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "external", "-n", str(workers), *tests]
    return subprocess.run(command, env={**os.environ, **told}, cwd=TESTS.parents[2]).returncode


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*given, *(50, 5)[len(given) :]))
