"""Put every case of packages.toml under the lab and write what came of it to recorded.json.

python tests/external/record.py [STATES]

The seconds are those of a stranger's first verdict: pip's install of the package into an empty directory, and the
program's run and judgement.
"""

import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from external_lab import RECORDED, Record, Recorded, install, load_cases, put_under_lab

from crashlab.engine.environment import environment_stamp

STATES = 10_000


def main(states: int) -> None:
    """Run all cases; about a minute each at most."""
    records = []
    with tempfile.TemporaryDirectory() as cache:
        for case in load_cases().values():
            begin = time.monotonic()
            packages = install(case, Path(cache))
            installed = time.monotonic()
            verdict = put_under_lab(case.text(), packages, states=states)
            judged = time.monotonic()
            control = put_under_lab(case.text(control=True), packages, states=states) if case.control else None
            record = Record(case.name, verdict, control, round(installed - begin, 1), round(judged - installed, 1))
            records.append(record)
            print(msgspec.json.encode(record).decode(), flush=True)
        stamp = environment_stamp(Path(cache))
    stamp = {name: stamp[name].partition("-")[0] for name in ("os", "python", "sqlite")}  # not the build's own suffix
    data = msgspec.json.format(msgspec.json.encode(Recorded(states, stamp, tuple(records))))
    RECORDED.write_bytes(data + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else STATES)
