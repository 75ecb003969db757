"""The file of a program's case: read within a bound, strictly; nothing of it is executed."""

from pathlib import Path
from typing import TypeVar

import msgspec

from crashlab.errors import RecordError

Kept = TypeVar("Kept", bound=msgspec.Struct)


def read_case_file(path: Path, kind: type[Kept], *, bytes_max: int, expected: str) -> Kept:
    """Read one case; `expected` says what should have been there.

    Raises:
        RecordError: missing, too large, or not of this form.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; expected {expected}") from None
    if len(data) > bytes_max:
        raise RecordError(f"{path}: more than {bytes_max} bytes: not a case file")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise RecordError(f"{path}: not a case file ({error})") from None
