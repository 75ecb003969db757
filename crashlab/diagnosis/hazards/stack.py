"""Which lines of the user's program did it."""

import linecache
import os
import re
import sys
import sysconfig
from collections.abc import Iterable
from types import FrameType

from crashlab.diagnosis.hazards.hazard import Frame

FRAMES_MAX = 6
_WALK_MAX = 200
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_OWN = (os.path.dirname(os.path.abspath(__file__)), os.path.join(_PACKAGE, "pytest_plugin"))
_RUNNERS = re.compile(r"[\\/](?:_pytest|pluggy|xdist|execnet)[\\/]|[\\/]pytest[\\/]__\w+__\.py$")
_SITE = re.compile(r"[\\/](?:site|dist)-packages[\\/]")
_PRAGMA = re.compile(r"#\s*crashlab:\s*ignore(?:\[([\w\s,-]*)\])?")
_STDLIB = tuple({os.path.normcase(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})

_USERS, _LIBRARYS, _RUNNER, _NOBODYS = "user", "library", "runner", "nobody"
_whose: dict[str, str] = {}


def user_stack(most: int = FRAMES_MAX) -> tuple[Frame, ...]:
    """Return the calling program's frames, innermost first, without the library's, the runner's and our own.

    Where there are none of the user's, the standard library's.
    """
    found: list[Frame] = []
    other: list[Frame] = []
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_WALK_MAX):
        if frame is None or len(found) >= most:
            break
        code = frame.f_code
        name = code.co_filename
        whose = _whose.get(name)
        if whose is None:
            whose = _whose[name] = _owner(name)
        if whose is _USERS:
            found.append(Frame(name, frame.f_lineno or 0, code.co_name))
        elif found and whose is _RUNNER:
            break  # what called the test is the same for all
        elif whose is _LIBRARYS and not found and len(other) < most:
            other.append(Frame(name, frame.f_lineno or 0, code.co_name))
        frame = frame.f_back
    return tuple(found or other)


def _owner(name: str) -> str:
    if name.startswith(_OWN):
        return _NOBODYS
    if _RUNNERS.search(name):
        return _RUNNER
    if _SITE.search(name):
        return _USERS
    if name.startswith("<") or os.path.normcase(name).startswith(_STDLIB):  # <frozen …>, <string> of -c and of execnet
        return _LIBRARYS
    return _USERS


def silenced(identity: str, frames: Iterable[Frame]) -> bool:
    """Whether one of these lines has a comment `# crashlab: ignore[ID]`, or `# crashlab: ignore` for all."""
    for frame in frames:
        pragma = _PRAGMA.search(linecache.getline(frame.file, frame.line))
        if pragma and (pragma[1] is None or identity in re.split(r"[\s,]+", pragma[1])):
            return True
    return False
