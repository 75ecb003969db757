"""A failing state of a program, kept with its recording, so that it is judged again without the program.

The case holds no command. Judging it reads the recording and runs nothing but SQLite; a restart takes its command
from the person who replays.
"""

import shutil
from pathlib import Path

import msgspec

from crashlab.engine.casedir import write_atomically
from crashlab.engine.program.case_file import read_case_file
from crashlab.engine.program.commits import find_commits
from crashlab.engine.program.explore import Found, Judge
from crashlab.engine.program.legal import find_legal
from crashlab.engine.program.record import acks_of, load_recording
from crashlab.errors import LimitError, RecordError, UsageError
from crashlab.log.reader import log_bases
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding
from crashlab.states.materialise import Materialiser
from crashlab.states.recover import can_read_only, recover
from crashlab.states.state import KILL, CrashState, parse_state
from crashlab.states.trace import Trace

__all__ = [
    "PROGRAM_CASE",
    "ProgramCase",
    "StateJudge",
    "database_of",
    "judge_case",
    "keep_program_case",
    "load_program_case",
    "save_program_case",
]

PROGRAM_CASE = "program.json"
CASE_BYTES_MAX = 1 << 21
FORMAT_VERSION = 1


class ProgramCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One failing state. `fault`: its text. `identity`, `message`: what was found."""

    subject: str
    database: str
    fault: str
    identity: str
    message: str
    format_version: int = FORMAT_VERSION


def save_program_case(root: Path, number: int, recording: Path, found: Found, subject: str) -> Path:
    """Write a case directory below `root`: the case, the recording, and the files as the crash left them.

    Raises:
        LimitError: it cannot be written whole.
    """
    identity = found.finding.identity
    return keep_program_case(root / f"{number:02d}-{identity.oracle}-{identity.invariant}", recording, found, subject)


def keep_program_case(directory: Path, recording: Path, found: Found, subject: str) -> Path:
    """Write a case into a new directory.

    Raises:
        LimitError: it cannot be written whole.
    """
    trace = load_recording(recording)
    try:
        directory.mkdir(parents=True)
        (directory / "log").mkdir()
        for segment in sorted((recording / "log").iterdir()):
            shutil.copyfile(segment, directory / "log" / segment.name)
        shutil.copytree(recording / "initial", directory / "initial")
        evidence = directory / "evidence"
        evidence.mkdir()
        with Materialiser(trace, directory / ".states") as files:
            files.export(found.state, evidence)
        case = ProgramCase(
            subject, found.database, str(found.state), str(found.finding.identity), found.finding.message
        )
        write_atomically(directory / PROGRAM_CASE, msgspec.json.format(msgspec.json.encode(case)))
    except OSError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise LimitError(f"the case directory could not be kept in {directory.parent}: {error}") from error
    return directory


def load_program_case(directory: Path) -> ProgramCase:
    """Read a case; nothing of it is executed.

    Raises:
        RecordError: missing, too large, damaged, or of a newer version.
    """
    path = directory / PROGRAM_CASE
    expected = "a case directory of `crashlab run -- COMMAND`"
    case = read_case_file(path, ProgramCase, bytes_max=CASE_BYTES_MAX, expected=expected)
    try:
        state = parse_state(case.fault)
    except UsageError as error:
        raise RecordError(f"{path}: not a case file ({error})") from None
    if case.format_version != FORMAT_VERSION:
        raise RecordError(f"{path}: format version {case.format_version}, this crashlab reads {FORMAT_VERSION}")
    if not log_bases(str(directory / "log")) or not 0 <= state.op <= len(load_recording(directory)):
        raise RecordError(f"{path}: the state {case.fault[:60]!r} is none of the recording beside it")
    return case


def database_of(directory: Path) -> str:
    """Return the name of the database that a case is about; its recording is not looked at.

    Raises:
        RecordError: as `load_program_case`.
    """
    expected = "a case directory of `crashlab run -- COMMAND`"
    return read_case_file(directory / PROGRAM_CASE, ProgramCase, bytes_max=CASE_BYTES_MAX, expected=expected).database


def judge_case(directory: Path, case: ProgramCase, scratch: Path) -> list[Finding]:
    """Recover the case's state with this SQLite and judge it against the recorded history."""
    with StateJudge(directory, load_recording(directory), case, scratch) as states:
        return states.judge(parse_state(case.fault))


class StateJudge:
    """Judges states of a case's recording against its history, each by real SQLite. A context manager."""

    def __init__(self, directory: Path, trace: Trace, case: ProgramCase, scratch: Path) -> None:
        acks = acks_of(directory, trace)
        self._legal = find_legal(trace, find_commits(trace, case.database), acks, scratch / "legal")
        self._judge = Judge(self._legal, acks, case.subject)
        self._database = case.database
        self._files = Materialiser(trace, scratch / "state")

    def __enter__(self) -> "StateJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def judge(self, state: CrashState) -> list[Finding]:
        """Return what is wrong with a state."""
        fault_class = FaultClass.PROCESS_DEATH if state.kind == KILL else FaultClass.POWER_LOSS
        files = self._files
        shown = files.show(state)
        read_only = can_read_only(files.sizes(), self._database)
        logical = recover(shown, self._legal.probe, read_only=read_only)
        if not read_only:
            files.clear()
        return self._judge.judge(self._judge.value(state, logical, files), state.op, fault_class)
