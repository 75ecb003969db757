"""Put the cases of packages.toml under the lab and write what came of them to recorded.json.

python tests/external/record.py [STATES [NAME ...]]

With names only these cases are run, and of the others the record is kept. The seconds are those of a stranger's first
verdict: pip's install of the package into an empty directory, and the program's run and judgement.
"""

import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from external_lab import RECORDED, Case, Record, Recorded, install, load_cases, put_under_lab

from crashlab.engine.environment import environment_stamp

STATES = 10_000


def main(states: int, names: list[str]) -> None:
    """Run cases; about a minute each at most."""
    cases = load_cases()
    before = msgspec.json.decode(RECORDED.read_bytes(), type=Recorded).records if names else ()
    known = {record.name: record for record in before}
    with tempfile.TemporaryDirectory() as cache:
        for name in names or cases:
            known[name] = record(cases[name], Path(cache), states)
            print(msgspec.json.encode(known[name]).decode(), flush=True)
        stamp = environment_stamp(Path(cache))
    stamp = {name: stamp[name].partition("-")[0] for name in ("os", "python", "sqlite")}  # not the build's own suffix
    recorded = Recorded(states, stamp, tuple(known[name] for name in cases))
    RECORDED.write_bytes(msgspec.json.format(msgspec.json.encode(recorded)) + b"\n")


def record(case: Case, cache: Path, states: int) -> Record:
    """Run one case, and its control."""
    begin = time.monotonic()
    packages = install(case, cache)
    installed = time.monotonic()
    verdict = put_under_lab(case.text(), packages, states=states)
    judged = time.monotonic()
    control = put_under_lab(case.text(control=True), packages, states=states) if case.control else None
    return Record(case.name, verdict, control, round(installed - begin, 1), round(judged - installed, 1))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else STATES, given[1:])
