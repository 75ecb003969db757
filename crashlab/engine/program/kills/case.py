"""A failing trial of a program, kept: the moment, the files as the kill left them, and no command."""

import re
import shutil
from pathlib import Path

import msgspec

from crashlab.engine.casedir import write_atomically
from crashlab.engine.program.case_file import read_case_file
from crashlab.engine.program.kills.moments import parse_hit
from crashlab.engine.program.kills.orders import Judged
from crashlab.errors import LimitError, RecordError, UsageError

__all__ = ["KILLED_CASE", "KilledCase", "load_killed_case", "save_killed_case"]

KILLED_CASE = "killed.json"
CASE_BYTES_MAX = 1 << 20
FORMAT_VERSION = 1
_NOTE = """This directory holds one run of a program that crashlab killed, and what was found then.

killed.json       when it was killed, what was found; replay it with   crashlab replay {directory} -- COMMAND
environment.json  where it ran
output.txt        the end of what it had printed
evidence/         its working directory as the kill left it, before SQLite touched anything.
                  It holds the program's data: look before you share it.
                  Do not open the databases with SQLite, it would recover them; copy them first.
"""


class KilledCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One failing trial. `fault`: the signal and its moment. `ack_on`: which lines of output were acks."""

    subject: str
    fault: str
    identity: str
    message: str
    ack_on: str = ""
    acked: int = 0
    restarted: bool = False
    timeout_s: float = 60.0
    format_version: int = FORMAT_VERSION


def save_killed_case(
    directory: Path, case: KilledCase, judged: Judged, left: Path, environment: dict[str, str]
) -> None:
    """Write a case directory; `left`: the program's working directory.

    Raises:
        LimitError: it cannot be written whole.
    """
    try:
        directory.mkdir(parents=True)
        shutil.copytree(left, directory / "evidence", symlinks=True)
        printed = f"{judged.ran.stdout}\n--- standard error\n{judged.ran.stderr}"
        write_atomically(directory / "output.txt", printed.encode("utf-8", "replace"))
        write_atomically(directory / "environment.json", msgspec.json.format(msgspec.json.encode(environment)))
        write_atomically(directory / "README.txt", _NOTE.format(directory=directory).encode())
        write_atomically(directory / KILLED_CASE, msgspec.json.format(msgspec.json.encode(case)))
    except (OSError, shutil.Error) as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise LimitError(f"the case directory could not be kept in {directory.parent}: {error}") from error


def load_killed_case(directory: Path) -> KilledCase:
    """Read a case; nothing of it is executed.

    Raises:
        RecordError: missing, too large, damaged, or of a newer version.
    """
    path = directory / KILLED_CASE
    expected = "a case of `crashlab run --fault kill -- CMD`"
    case = read_case_file(path, KilledCase, bytes_max=CASE_BYTES_MAX, expected=expected)
    try:
        hit = parse_hit(case.fault)
        re.compile(case.ack_on)
    except (UsageError, re.error) as error:
        raise RecordError(f"{path}: not a case file ({error})") from None
    if case.format_version != FORMAT_VERSION:
        raise RecordError(f"{path}: format version {case.format_version}, this crashlab reads {FORMAT_VERSION}")
    if hit.delay_us < 0 or not 0 < case.timeout_s <= 3600:
        raise RecordError(f"{path}: fault {case.fault!r}, {case.timeout_s} s: expected a moment, and at most an hour")
    return case
