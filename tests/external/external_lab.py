"""Published packages under the lab: installing a version, running a program of its user's, and what came of it."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import msgspec

from crashlab.engine.program.commits import find_commits
from crashlab.engine.program.explore import Budget, explore_program
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import record_program
from crashlab.engine.workspace import Workspace
from crashlab.log.trace import Role, TraceKind
from crashlab.model.contract import FaultClass
from crashlab.model.program import Program
from crashlab.states.trace import Trace

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.json"
ACKS = r"done (\S+)"
INSTALL_S = 300
STATES_ENOUGH = 2_000
"""With so many crash states the rarest of the expected findings is among them."""

_TAG = sys.implementation.cache_tag or sys.implementation.name


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of packages.toml; its head says what the fields mean."""

    name: str
    requires: tuple[str, ...]
    program: str
    what: str
    journal: str
    synchronous: str
    lost: tuple[int, int]
    contract: str
    source: str
    conclude: str
    acks: int = 40
    found: tuple[str, ...] = ()
    control: tuple[str, str] | None = None

    def text(self, *, control: bool = False) -> str:
        """The program, or its control: the same with syncs off."""
        text = (HERE / "programs" / f"{self.program}.py").read_text(encoding="utf-8")
        if control:
            assert self.control is not None, f"{self.name} has no control"
            old, new = self.control
            assert text.count(old) == 1, f"{self.name}: the control's text is in the program {text.count(old)} times"
            text = text.replace(old, new)
        return text


class Verdict(msgspec.Struct, frozen=True):
    """What came of one program. `states`: distinct crash states by fault class; `found`: fault class, invariant →
    states that show it. `synced`: commits that a sync of their own made durable. `lost`: most acks that a power loss
    took where the database was as after one of its commits.
    """

    journal: str
    synchronous: str
    commits: int
    synced: int
    acks: int
    lost: int
    states: dict[str, int]
    found: dict[str, int]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A case as it was run once, with its control and the seconds of installing and of the verdict."""

    name: str
    verdict: Verdict
    control: Verdict | None
    install_s: float
    verdict_s: float


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What record.py writes. `states`: asked for, of each database under each model."""

    states: int
    environment: dict[str, str]
    records: tuple[Record, ...]


class NotInstallableError(Exception):
    """pip or what it needs is not there; the message says which."""


def load_cases() -> dict[str, Case]:
    """Read packages.toml."""
    data = tomllib.loads((HERE / "packages.toml").read_text(encoding="utf-8"))
    return {case.name: case for case in msgspec.convert(data["case"], tuple[Case, ...])}


def install(case: Case, cache: Path) -> Path:
    """Return a directory that holds what a case requires, and nothing else; it is made once.

    Raises:
        NotInstallableError: there is no pip, or pip found no way to the packages.
    """
    there = cache / f"{case.name}-{_TAG}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{case.name}-{_TAG}.lock"):
        if not there.is_dir():
            made = Path(tempfile.mkdtemp(prefix=f"{case.name}-", dir=cache))
            try:
                _pip("install", "--quiet", "--no-deps", "--target", str(made), *case.requires)
                made.replace(there)
            finally:
                shutil.rmtree(made, ignore_errors=True)
    return there


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        raise NotInstallableError(f"pip needed more than {INSTALL_S} s for {words[-1]}") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        raise NotInstallableError(" ".join(errors[-1:]) or f"pip ended with {done.returncode} and said nothing")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file: under xdist the first worker installs, the others wait for it."""
    try:
        import fcntl
    except ImportError:  # Windows: two may install at once, and one of them finds the directory there
        yield
        return
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def put_under_lab(text: str, packages: Path, *, states: int, seed: int = 1, timeout_s: float = 60.0) -> Verdict:
    """Run a program on a directory of packages, and judge kills and power losses at every point of the run."""
    with Workspace() as space, patch.dict(os.environ, PYTHONPATH=str(packages)):
        project = space.root / "project"
        project.mkdir()
        (project / "app.py").write_text(text, encoding="utf-8")
        program = Program((sys.executable, "app.py"), ack_on=ACKS, timeout_s=timeout_s)
        area = space.make_run()
        recording = record_program(program, PrivateCopy(project, area), area, seed=seed)
        assert recording.ran.code == 0, f"the program failed: {recording.ran.stderr[-2000:]}"
        explored = explore_program(recording, program.name, Budget(states, states, seed), space.root / "explore")
        assert len(explored) == 1, f"expected one database, found {[one.database for one in explored]}"
        (one,) = explored
        classes = (FaultClass.PROCESS_DEATH.value, FaultClass.POWER_LOSS.value)
        return Verdict(
            *settings_seen(recording.trace(), one.database),
            commits=one.commits,
            synced=one.promised,
            acks=one.acks,
            lost=one.acks_lost,
            states={name: each.distinct for name, each in zip(classes, one.coverage, strict=True)},
            found={
                f"{each.finding.identity.fault_class}: {each.finding.identity.invariant}": each.states
                for each in one.found
            },
        )


def check(case: Case, verdict: Verdict, *, states: int) -> None:
    """Assert that a case came out as expected; with few states a rare finding may be missing."""
    enough = states >= STATES_ENOUGH
    assert (verdict.journal, verdict.synchronous) == (case.journal, case.synchronous)
    assert verdict.acks == case.acks
    assert _kills(verdict) == set(), "a kill takes nothing that was committed, whatever the settings"
    least, most = case.lost
    assert (least if enough else min(least, 1)) <= verdict.lost <= most
    found = {each.partition(": ")[2] for each in verdict.found}
    rarer = (
        {"a-committed-state"} if "well-formed" in case.found else set()
    )  # what can be malformed can, now and then, be a mixture
    assert found <= {*case.found, *rarer}
    assert not enough or found >= set(case.found)


def check_control(case: Case, verdict: Verdict) -> None:
    """Assert that with syncs off the loss was found, and a kill still took nothing."""
    assert verdict.journal == case.journal
    assert verdict.synchronous != case.synchronous
    assert _kills(verdict) == set()
    assert verdict.lost > case.lost[1] or "power loss: well-formed" in verdict.found


def _kills(verdict: Verdict) -> set[str]:
    return {each for each in verdict.found if each.startswith("process death")}


def settings_seen(trace: Trace, database: str) -> tuple[str, str]:
    """Return journal mode and synchronous setting of a database as its writes and syncs show them.

    A commit goes to the WAL, or ends its journal by deletion, truncation or zeroing. In WAL mode FULL syncs the WAL
    at each commit, NORMAL at checkpoints only; with a journal FULL syncs it twice a commit, NORMAL once, and EXTRA
    also the directory that it was deleted from (https://sqlite.org/pragma.html#pragma_synchronous).
    """
    wal, journal = f"{database}-wal", f"{database}-journal"
    commits = find_commits(trace, database)
    last = commits.ops[-1]
    if trace.files[trace.inodes[last]].role is Role.WAL:
        own = [
            synced
            for op, synced in zip(commits.ops, commits.at_once, strict=True)
            if trace.files[trace.inodes[op]].path == wal
        ]
        if 2 * sum(own) > len(own):
            return "wal", "FULL"
        return "wal", "NORMAL" if _syncs(trace, wal, 0, len(trace)) else "OFF"
    ended = {TraceKind.DELETE: "delete", TraceKind.TRUNCATE: "truncate"}
    mode = ended.get(TraceKind(trace.kinds[last]), "persist")
    syncs = _syncs(trace, journal, commits.ops[-2] + 1, last)
    if not syncs:
        return mode, "OFF"
    if mode == "delete" and trace.synced_dirs[last] >= 0:
        return mode, "EXTRA"
    # The zeroing that ended the transaction before was synced too.
    return mode, "FULL" if syncs - (mode == "persist") > 1 else "NORMAL"


def _syncs(trace: Trace, name: str, first: int, last: int) -> int:
    return sum(
        trace.kinds[op] == TraceKind.SYNC and trace.files[trace.inodes[op]].path == name for op in range(first, last)
    )
