"""The recording that a case directory carries: read with mistrust, checked before anything of it is used."""

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from crashlab.engine.casedir import trace_of_case, write_atomically
from crashlab.errors import CrashlabError, RecordError
from crashlab.log.format import HEADER_SIZE, USED_SLOT
from crashlab.log.history import build_history
from crashlab.log.reader import log_bases, merge, read_log
from crashlab.log.trace import TraceKind
from crashlab.model.case import Case
from crashlab.model.history import Ended, EndKind, History
from crashlab.states.trace import Trace, load_trace

SEAL = "digests.txt"
TRACE_BYTES_MAX = 1 << 30
FILE_BYTES_MAX = 4 << 30
"""No file of a recorded run may grow beyond this: a stranger's trace must not fill the disk."""


def load_recording(directory: str) -> Trace:
    """Load the recorded operations in a directory.

    Raises:
        RecordError: no log is there, it is truncated, damaged, too large or of a newer version; one line.
    """
    try:
        bases = log_bases(directory)
        if not bases:
            raise RecordError(f"{directory}: no log in it; a recording holds log.0.0000")
        size = sum(entry.stat().st_size for entry in os.scandir(directory))
        if size > TRACE_BYTES_MAX:
            raise RecordError(f"{directory}: {size} bytes, expected at most {TRACE_BYTES_MAX}")
        trace = load_trace(bases)
        _check_seal(directory)
        _check(trace, directory)
        _history(Case("recording", 0, "none"), bases)
    except CrashlabError:
        raise
    except OSError as error:
        raise RecordError(f"{directory}: {error.strerror or error}; expected a recording's log") from None
    except (ValueError, KeyError, IndexError, OverflowError, struct.error, msgspec.MsgspecError) as error:
        raise RecordError(f"{directory}: the log is damaged ({type(error).__name__}: {str(error)[:200]})") from None
    return trace


def load_history(directory: str, case: Case) -> History:
    """Return the history of the whole recorded run."""
    return _history(case, log_bases(directory))


def seal_recording(directory: str) -> None:
    """Cut the unused rest off a recording's segments and note their digests, so that it is small and proven."""
    for segment in sorted(Path(directory).glob("log.*")):
        data = segment.read_bytes()
        if len(data) >= HEADER_SIZE:
            used = memoryview(data)[: len(data) & ~7].cast("Q")[USED_SLOT]
            if HEADER_SIZE <= used < len(data):
                os.truncate(segment, used)
    write_atomically(Path(directory) / SEAL, "".join(_digests(directory)).encode())


def _digests(directory: str) -> Iterator[str]:
    for segment in sorted(Path(directory).glob("log.*")):
        yield f"{hashlib.blake2b(segment.read_bytes(), digest_size=16).hexdigest()}  {segment.name}\n"


def _check_seal(directory: str) -> None:
    """Refuse a sealed recording of which a byte has changed."""
    seal = Path(directory) / SEAL
    if seal.exists() and seal.read_bytes().split() != "".join(_digests(directory)).encode().split():
        raise RecordError(f"{directory}: the log is not the one that {SEAL} was made of: it is damaged or was changed")


def carried_trace(path: Path) -> tuple[str, Trace | None]:
    """Return the directory of the recording that a case carries, and its trace; '' and None if it has none.

    Raises:
        RecordError: it carries one that cannot be read.
    """
    directory = trace_of_case(path)
    return directory, load_recording(directory) if directory else None


def recorded_again(case: Case) -> str:
    """Say that a case carried no recording."""
    return f"case {case.case_id} carries no trace: its run is recorded again from its seed {case.seed}"


def _history(case: Case, bases: list[str]) -> History:
    records = merge([[record for record in read_log(base) if record.kind < TraceKind.DONE] for base in bases])
    return build_history(case.case_id, records, Ended(EndKind.EXITED, 0))


def _check(trace: Trace, directory: str) -> None:
    for op in range(len(trace)):
        end = trace.offsets[op] + trace.lengths[op]
        if trace.offsets[op] < 0 or end > FILE_BYTES_MAX:
            raise RecordError(
                f"{directory}: operation {op} ends at byte {end} of a file, expected at most {FILE_BYTES_MAX}: "
                "the log is damaged"
            )
