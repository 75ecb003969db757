"""A failing schedule in a directory: it is run again without what drew it.

It names a subject, whose code is what the configuration of the one who replays gives for that name.
"""

import shutil
from pathlib import Path

import msgspec

from crashlab.engine.casedir import replay_command, write_atomically
from crashlab.errors import LimitError, RecordError
from crashlab.model.case import CASE_BYTES_MAX
from crashlab.model.finding import Finding
from crashlab.model.schedule import Schedule, decode_schedule

__all__ = ["SCHEDULE_CASE", "load_schedule_case", "save_schedule_case"]

SCHEDULE_CASE = "schedule.json"
DIRECTORIES_MAX = 10_000

_README = """This directory holds one failing schedule of crashlab: which actor ran when.

schedule.json     the smallest that was found: replay it with   {command}
as-found.json     the one that was found first
story.txt         who did which calls, and what was in the wal-index when control passed
lanes.svg         the same as a drawing, where one was made
findings.json     what it showed
environment.json  where it ran
evidence/         the database files as the run left them; they hold the program's rows: look before you share them
"""


def save_schedule_case(
    root: Path,
    schedule: Schedule,
    as_found: Schedule,
    findings: tuple[Finding, ...],
    story: str,
    environment: dict[str, str],
    evidence: Path,
) -> Path:
    """Write a case directory below `root` and return it; an existing one is never overwritten.

    Raises:
        LimitError: it cannot be written whole; nothing of it is left then.
    """
    directory = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        directory = _fresh(root, schedule.name)
        shutil.copytree(evidence, directory / "evidence")
        write_atomically(directory / SCHEDULE_CASE, schedule.encode() + b"\n")
        write_atomically(directory / "as-found.json", as_found.encode() + b"\n")
        write_atomically(directory / "story.txt", story.encode())
        write_atomically(directory / "findings.json", msgspec.json.format(msgspec.json.encode(findings)))
        write_atomically(directory / "environment.json", msgspec.json.format(msgspec.json.encode(environment)))
        write_atomically(directory / "README.txt", _README.format(command=replay_command(directory)).encode())
    except (OSError, shutil.Error) as error:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        raise LimitError(f"the case directory could not be kept in {root}: {error}") from error
    return directory


def load_schedule_case(path: Path) -> Schedule:
    """Read the schedule of a case directory; nothing of it is executed.

    Raises:
        RecordError: missing, damaged, of a newer version, or out of range.
    """
    file = path / SCHEDULE_CASE if path.is_dir() else path
    try:
        with open(file, "rb") as stream:
            data = stream.read(CASE_BYTES_MAX + 1)
    except OSError as error:
        raise RecordError(f"{file}: {error.strerror}; expected a schedule's case") from None
    return decode_schedule(data, source=str(file))


def _fresh(root: Path, name: str) -> Path:
    for number in range(DIRECTORIES_MAX):
        directory = root / (f"{name}-{number}" if number else name)
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise LimitError(f"{root}: {DIRECTORIES_MAX} directories for schedule {name}; remove some")
