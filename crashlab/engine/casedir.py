"""Case directories: everything about one failing trial, in files that can be opened and replayed."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from crashlab.errors import LimitError, RecordError, UsageError
from crashlab.faults.fault import parse_fault
from crashlab.model.case import CASE_BYTES_MAX, Case, decode_case
from crashlab.model.history import History
from crashlab.model.outcome import Outcome
from crashlab.model.step import Table

CASE_FILE = "case.json"
TRACE = "trace"
LEDGER = "ledger.ndjson"
DEADLINE_S_MAX = 3600.0
"""A stranger's case may not keep us longer than this for one trial."""

EVIDENCE_NOTE = """This directory holds one failing trial of crashlab.

case.json         the input: replay it with   {command}
outcome.json      verdict, findings, exposure
history.ndjson    what the program logged, in order
ledger.ndjson     the rows that were acked, in order, as `crashlab autopsy --ledger` reads them
environment.json  where it ran
evidence/         the database files as the fault left them, before SQLite touched them.
                  They hold the program's rows: look before you share them.
                  Do not open them with SQLite, it would recover them; copy them first.
"""


def save_case(
    root: Path,
    outcome: Outcome,
    history: History,
    environment: dict[str, str],
    evidence: Path,
    recording: str = "",
    *,
    tables: Sequence[Table] = (),
) -> Path:
    """Write a case directory below `root` and return it; an existing one is never overwritten.

    `recording`: the directory of the recorded run that a computed crash state belongs to; its log goes along,
    so that the case replays without the run being recorded again.

    Raises:
        LimitError: it cannot be written whole, the disk being full, say; nothing of it is left then.
    """
    directory = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        directory = _fresh(root, outcome.case.case_id)
        _write(directory, outcome, history, environment, evidence)
        write_atomically(directory / LEDGER, _ledger(history, tables))
        if recording:
            _copy_trace(Path(recording), directory / TRACE)
        write_atomically(directory / CASE_FILE, outcome.case.encode())  # last: without it the case is unfinished
    except (OSError, shutil.Error) as error:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        raise LimitError(f"the case directory could not be kept in {root}: {error}") from error
    return directory


def _ledger(history: History, tables: Sequence[Table]) -> bytes:
    """The acked effects with the names of their columns; those with values that JSON has not are left out."""
    by_name = {table.name: table for table in tables}
    lines = []
    for effect in (effect for step in history.acked for effect in step.effects):
        table = by_name.get(effect.table)
        values = (*effect.key, *(effect.value or ()))
        if table is None or len(effect.key) != len(table.key) or any(map(_is_bytes, values)):
            continue
        row = None if effect.value is None else dict(zip(table.value, effect.value, strict=False))
        key = dict(zip(table.key, effect.key, strict=True))
        lines.append(msgspec.json.encode({"table": table.name, "key": key, "row": row}) + b"\n")
    return b"".join(lines)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _copy_trace(recording: Path, target: Path) -> None:
    target.mkdir()
    for segment in sorted(recording.glob("log.*")):
        shutil.copyfile(segment, target / segment.name)


def trace_of_case(path: Path) -> str:
    """Return the directory of the recording that a case directory carries, '' if it has none."""
    directory = path / TRACE if path.is_dir() else path.parent / TRACE
    return str(directory) if directory.is_dir() else ""


def _write(directory: Path, outcome: Outcome, history: History, environment: dict[str, str], evidence: Path) -> None:
    shutil.copytree(evidence, directory / "evidence")
    write_atomically(directory / "outcome.json", msgspec.json.format(msgspec.json.encode(outcome)))
    write_atomically(directory / "environment.json", msgspec.json.format(msgspec.json.encode(environment)))
    lines = [*history.steps, *history.phases, *history.notes]
    write_atomically(directory / "history.ndjson", b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    write_atomically(directory / "README.txt", EVIDENCE_NOTE.format(command=replay_command(directory)).encode())


def replay_command(directory: str | os.PathLike[str], config: str = "") -> str:
    """Return the command that replays a case, ready to paste; `config` if the nearest one is not meant."""
    words = ["crashlab", "replay", os.fspath(directory), *(["--config", config] if config else [])]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _fresh(root: Path, name: str) -> Path:
    for number in range(10_000):
        directory = root / (f"{name}-{number}" if number else name)
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise RecordError(f"{root}: 10000 directories for case {name}; remove some")


def load_case(path: str | os.PathLike[str]) -> Case:
    """Read a case from its directory or its file; nothing of it is executed.

    Raises:
        RecordError: missing, too large, damaged, of a newer version, or with values out of range.
    """
    file = Path(path)
    if file.is_dir():
        file = file / CASE_FILE
    try:
        with open(file, "rb") as stream:
            data = stream.read(CASE_BYTES_MAX + 1)
    except OSError as error:
        inside = f"; the cases of this run are in {Path(path) / 'cases'}" if (Path(path) / "cases").is_dir() else ""
        raise RecordError(
            f"case {os.fspath(file)}: {error.strerror}; expected a case directory or its case.json{inside}"
        ) from None
    case = decode_case(data, source=str(file))
    try:
        parse_fault(case.fault)
    except UsageError as error:
        raise RecordError(f"{file}: {error}") from None
    if not 0 < case.deadline_s <= DEADLINE_S_MAX:
        raise RecordError(f"{file}: deadline_s = {case.deadline_s}, expected more than 0 and at most {DEADLINE_S_MAX}")
    if not 0 <= case.seed < 2**64:
        raise RecordError(f"{file}: seed = {case.seed}, expected 0 to 2**64 - 1")
    return case


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and move it into place."""
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
