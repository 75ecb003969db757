"""Somebody's unmodified program, as a thing to put under the lab: a command, not a workload."""

import re
from pathlib import PurePath

import msgspec

_INTERPRETER = re.compile(r"python[0-9.]*(\.exe)?", re.IGNORECASE)


def is_python(name: str) -> bool:
    """Whether a program of this name is a Python interpreter."""
    return _INTERPRETER.fullmatch(name) is not None


class Program(msgspec.Struct, frozen=True):
    """A command and what is promised about it.

    `argv`: the command. `ack_on`: a regular expression; each line of output that it matches is an ack, and its first
    group, if it has one, names what was done. `restart`: the program's own start-up, run on sampled crash states.
    `maps`: (real path, path inside the private copy). `timeout_s`: the program is ended after so many seconds.
    """

    argv: tuple[str, ...]
    ack_on: str = ""
    restart: tuple[str, ...] = ()
    maps: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 60.0

    @property
    def name(self) -> str:
        """A short name for findings: the script's or the module's, else the command's."""
        words = list(self.argv)
        name = PurePath(words[0]).name if words else ""
        if is_python(name):
            rest = [word for word in words[1:] if not word.startswith("-")]
            name = PurePath(rest[0]).name if rest else name
        name = re.sub(r"[^A-Za-z0-9_.:-]", "-", name).lstrip("_.:-")
        return name[:100] or "program"
