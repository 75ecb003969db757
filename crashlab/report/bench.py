"""The bench of reports: a page over 10^6 results, built in a process of its own; beside it, only decoding the lines."""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from crashlab.errors import LabError
from crashlab.model.event import Event, EventKind
from crashlab.model.seed import rng_for
from crashlab.report.ndjson import RECORDS

__all__ = ["ReportFigure", "bench_report", "write_records"]

TRIALS = 1_000_000
FAULTS = ("kill@ack#{n} delay={d}us", "kill@phase=commit#{n} delay={d}us", "kill@phase=checkpoint#1", "hangup@ack#{n}")
PHASES = ("between", "commit", "checkpoint", "step", "commit-ack", "start-up")
SECONDS_MAX, BYTES_MAX, MEMORY_MAX = 20.0, 8_000_000, 500_000_000

_CHILD = """
import json, resource, sys, time
from pathlib import Path
started = time.perf_counter()
from crashlab.report.formats import render
from crashlab.report.summary.fold import summarise
page = render("html", summarise(sys.argv[1:2]))
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([seconds, peak, len(page)]))
"""


class ReportFigure(msgspec.Struct, frozen=True):
    """A page built from records: seconds and peak memory of the process, bytes of the page, all at their worst."""

    name: str
    trials: int
    records_bytes: int
    seconds: float
    seconds_max: float
    decode_seconds: float
    memory_bytes: int
    page_bytes: int
    rounds: int

    def __str__(self) -> str:
        ok = self.seconds_max < SECONDS_MAX and self.page_bytes < BYTES_MAX and self.memory_bytes < MEMORY_MAX
        return (
            f"{self.name}: {self.trials:,} trials, {self.records_bytes / 1e6:.0f} MB of records in "
            f"{self.seconds:.1f} s (median of {self.rounds} rounds, worst {self.seconds_max:.1f}; decoding the lines "
            f"alone {self.decode_seconds:.1f}), {self.memory_bytes / 1e6:.0f} MB of memory, a page of "
            f"{self.page_bytes / 1e6:.2f} MB; wanted: under 20 s, 500 MB, 8 MB: {'met' if ok else 'NOT MET'}"
        )


def bench_report(
    *, seed: int, rounds: int, workspace: str | None = None, trials: int = TRIALS
) -> Iterator[ReportFigure]:
    """Measure. The records, some 700 MB, are written to `workspace` or the temporary directory, and removed.

    Raises:
        LabError: the child that builds the page failed.
    """
    with tempfile.TemporaryDirectory(prefix="crashlab-bench-", dir=workspace) as directory:
        path = Path(directory) / RECORDS
        write_records(path, trials, rng_for(seed, "bench", "report"))
        runs = [_run(path) for _ in range(rounds)]
        yield ReportFigure(
            "report, HTML from records",
            trials,
            path.stat().st_size,
            statistics.median(seconds for seconds, _, _ in runs),
            max(seconds for seconds, _, _ in runs),
            _decoded(path),
            max(memory for _, memory, _ in runs),
            max(page for _, _, page in runs),
            rounds,
        )


def _run(path: Path) -> tuple[float, int, int]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, path], capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise LabError(f"the report failed: {done.stderr.strip()[-1000:]}")
    seconds, memory, page = msgspec.json.decode(done.stdout, type=tuple[float, int, int])
    return seconds, memory, page


def _decoded(path: Path) -> float:
    """Seconds that decoding every line into plain values takes."""
    decode = msgspec.json.Decoder(Event).decode
    started = time.perf_counter()
    with open(path, "rb") as file:
        for line in file:
            decode(line)
    return time.perf_counter() - started


def write_records(path: Path, trials: int, rng: random.Random) -> None:
    """Write the records of a campaign that never ran: the same generator state gives the same file."""
    encode = msgspec.json.Encoder().encode
    stamp = {"os": "Linux 6.1", "python": "CPython 3.11.7", "sqlite": "3.40.1", "file_system": "tmpfs", "cores": "2"}
    started = {"command": "run", "subject": "bench", "seed": 1, "trials": trials, "environment": stamp}
    events = [(EventKind.RUN_STARTED, started), (EventKind.CAMPAIGN_STARTED, {"name": "campaign", "slots": 3})]
    with open(path, "xb", buffering=1 << 20) as file:
        number = 0
        for number, (kind, data) in enumerate(events):
            file.write(encode(Event(number, number, kind, "", data)) + b"\n")
        for trial in range(trials):
            number += 1
            trial_id = f"campaign-{trial:06d}"
            outcome = _outcome(trial_id, rng)
            file.write(encode(Event(number, number * 1000, EventKind.TRIAL_FINISHED, trial_id, {"outcome": outcome})))
            file.write(b"\n")
        finished = {"name": "campaign", "stop": "all cases run", "seconds": trials / 300, "verdicts": {}, "phases": {}}
        file.write(encode(Event(number + 1, number * 1000, EventKind.CAMPAIGN_FINISHED, "", finished)) + b"\n")


def _outcome(trial_id: str, rng: random.Random) -> dict[str, object]:
    draw = rng.random()
    n, delay = 1 + int(draw * 40), int(draw * 7919) % 300
    fault = FAULTS[int(draw * 1e6) % len(FAULTS)].format(n=n, d=delay)
    interval = (0, 0.05, 0.1, 0.5, 1, 5, 15, 60)[int(draw * 1e7) % 8]
    reader = ("none", "polling", "pinned")[int(draw * 1e8) % 3]
    failed = draw > 0.999
    identity = {
        "oracle": "durability",
        "invariant": f"acked-row-lost-{int(draw * 1e9) % 50}",
        "subject": "bench",
        "fault_class": "process death",
    }
    finding = {"identity": identity, "message": "2 acked rows are gone", "evidence": {"lost": n}}
    return {
        "trial_id": trial_id,
        "case": {
            "subject": "bench",
            "seed": int(draw * 2**53),
            "fault": fault,
            "params": {"interval": interval, "reader": reader, "synchronous": "FULL" if draw < 0.5 else "NORMAL"},
            "deadline_s": 20.0,
            "steps_max": 100000,
            "format_version": 1,
        },
        "verdict": "FAIL" if failed else "MISSED" if draw < 0.001 else "PASS",
        "ended": {"kind": "signalled", "code": 9, "hung_up": False, "start_ns": 1, "end_ns": 2, "stderr": ""},
        "fired": "killed by signal 9",
        "phase": PHASES[int(draw * 1e5) % len(PHASES)],
        "findings": [finding] if failed else [],
        "acked": n,
        "found": n,
        "exposure": {
            "frames": int(draw * 380),
            "frames_uncommitted": 0,
            "rows": int(draw * draw * 1900),
            "seconds": draw * float(interval) * 2,
            "wal_bytes": 4152 * n,
            "main_alone": "malformed" if draw > 0.97 else "readable",
        },
        "error": "",
        "case_dir": "",
        "settings": {"journal_mode": "wal", "synchronous": "2", "page_size": "4096"},
        "timings_us": {
            "writer": 4000 + int(draw * 9000),
            "evidence": 300 + delay,
            "exposure": 600,
            "restart": 900 + int(draw * 5000),
            "oracles": 150,
        },
    }
