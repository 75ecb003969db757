"""Case directories: everything about one failing trial, in files that can be opened and replayed."""

import os
import shutil
from pathlib import Path

import msgspec

from crashlab.errors import RecordError
from crashlab.model.case import CASE_BYTES_MAX, Case, decode_case
from crashlab.model.history import History
from crashlab.model.outcome import Outcome

CASE_FILE = "case.json"
EVIDENCE_NOTE = """This directory holds one failing trial of crashlab.

case.json         the input: replay it with   crashlab replay {directory}
outcome.json      verdict, findings, exposure
history.ndjson    what the program logged, in order
environment.json  where it ran
evidence/         the database files as the fault left them, before SQLite touched them.
                  They hold the program's rows: look before you share them.
                  Do not open them with SQLite, it would recover them; copy them first.
"""


def save_case(root: Path, outcome: Outcome, history: History, environment: dict[str, str], evidence: Path) -> Path:
    """Write a case directory below `root` and return it; an existing one is never overwritten."""
    root.mkdir(parents=True, exist_ok=True)
    directory = _fresh(root, outcome.case.case_id)
    shutil.copytree(evidence, directory / "evidence")
    write_atomically(directory / "outcome.json", msgspec.json.format(msgspec.json.encode(outcome)))
    write_atomically(directory / "environment.json", msgspec.json.format(msgspec.json.encode(environment)))
    lines = [*history.steps, *history.phases, *history.notes]
    write_atomically(directory / "history.ndjson", b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    write_atomically(directory / "README.txt", EVIDENCE_NOTE.format(directory=directory).encode())
    write_atomically(directory / CASE_FILE, outcome.case.encode())
    return directory


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
        RecordError: missing, too large, damaged, or of a newer version.
    """
    file = Path(path)
    if file.is_dir():
        file = file / CASE_FILE
    try:
        with open(file, "rb") as stream:
            data = stream.read(CASE_BYTES_MAX + 1)
    except OSError as error:
        raise RecordError(
            f"case {os.fspath(path)}: {error.strerror}; expected a case directory or its case.json"
        ) from None
    return decode_case(data, source=str(file))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and move it into place."""
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
