"""Which way a program is recorded: by the tap where that sees all, else at its system calls."""

import shutil
from collections.abc import Callable
from pathlib import Path, PurePath

import msgspec

from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import SECCOMP, TAP, Recording, UnseenError, record_program
from crashlab.model.program import Program, is_python
from crashlab.writers.record.seccomp import seccomp_problem

__all__ = ["AUTO", "ROADS", "choose_road", "record_by"]

AUTO = "auto"
ROADS = (AUTO, TAP, SECCOMP)
_SHEBANG_BYTES = 256


def choose_road(argv: tuple[str, ...], directory: Path) -> tuple[str, str]:
    """Choose for a command that starts in a directory; return the road, and why if it is SECCOMP.

    A Python is recorded by the tap (its SQLite gets its randomness from the seed, and its states are the same each
    time); so is a script that names one in its first line.
    """
    if seccomp_problem() is not None:
        return TAP, ""
    name = PurePath(argv[0]).name
    if not is_python(name) and not _python_script(argv[0], directory):
        return SECCOMP, f"{name} is no Python"
    for word in argv[1:]:
        if not word.startswith("-") or word in ("-", "-c", "-m"):
            break
        if not word.startswith("--") and set(word) & set("IES"):
            return SECCOMP, f"{word} keeps the start-up hook out"
    return TAP, ""


def record_by(
    via: str, program: Program, make_copy: Callable[[], tuple[PrivateCopy, Path]], *, seed: int
) -> tuple[Recording, PrivateCopy]:
    """Record a program in a private copy by one of ROADS; return the copy, too.

    `make_copy`: returns a new copy and its area. AUTO records again, in a second copy, at the system calls what the
    tap did not see wholly.

    Raises:
        As `record_program`.
    """
    copy, area = make_copy()
    chosen, why = choose_road(program.argv, copy.source) if via == AUTO else (via, "")
    try:
        recording = record_program(program, copy, area, seed=seed, via=chosen)
    except UnseenError as error:
        if via != AUTO or seccomp_problem() is not None:
            raise
        why = f"the tap did not see all ({error.what})"
        shutil.rmtree(area, ignore_errors=True)
        copy, area = make_copy()
        recording = record_program(program, copy, area, seed=seed, via=SECCOMP)
    return msgspec.structs.replace(recording, why=why), copy


def _python_script(name: str, directory: Path) -> bool:
    """Whether a command is a file whose first line names a Python."""
    found = shutil.which(str(directory / name) if "/" in name else name)
    if found is None:
        return True  # the tap's way says what is wrong
    with open(found, "rb") as file:
        first = file.read(_SHEBANG_BYTES).partition(b"\n")[0]
    return first.startswith(b"#!") and any(is_python(PurePath(word).name) for word in first.decode("latin-1").split())
