"""A failing state of a writer, kept with its recording and what had been promised."""

import shutil
from pathlib import Path

from crashlab.engine.program.case import ProgramCase, load_program_case, save_program_case
from crashlab.engine.program.explore import Found
from crashlab.engine.program.record import acks_of, load_recording
from crashlab.engine.writer.record import ACKED, Run
from crashlab.errors import RecordError
from crashlab.writers.function.child import read_acks

__all__ = ["load_saved", "save"]

ACKED_BYTES_MAX = 64 << 20


def save(root: Path, number: int, run: Run, found: Found, subject: str) -> Path:
    """Write a case directory below `root`; see `save_program_case`."""
    directory = save_program_case(root, number, run.directory, found, subject)
    for source in (run.directory / "tmp" / ACKED, run.directory / ACKED):
        if source.exists():
            shutil.copyfile(source, directory / ACKED)
    return directory


def load_saved(directory: Path) -> tuple[ProgramCase, Run]:
    """Read a case and its run; nothing of it is executed.

    Raises:
        RecordError: missing, too large or damaged.
    """
    case = load_program_case(directory)
    acked = directory / ACKED
    if acked.exists() and acked.stat().st_size > ACKED_BYTES_MAX:
        raise RecordError(f"{acked}: more than {ACKED_BYTES_MAX} bytes: not of a case")
    trace = load_recording(directory)
    acks = acks_of(directory, trace)
    try:
        values = read_acks(acked) if acked.exists() else [ack.key for ack in acks]
    except (ValueError, SyntaxError) as error:
        raise RecordError(f"{acked}: not what a writer acked ({error})") from None
    return case, Run(directory, None, trace, acks, tuple(values))
