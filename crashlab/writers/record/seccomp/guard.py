"""Nothing of the user's is touched: what would change a name or a file outside the run is refused, and told by name.

The calls stop for the recorder anyway, so a path is seen before anything happens to it. Devices, what a process
says about itself, and the names that libraries keep directly in `/dev/shm` are let through.
"""

import errno
import os

from crashlab.writers.record.seccomp.reply import CONTINUE, Reply

__all__ = ["Guard"]

TOLD_MAX = 100
_LET_THROUGH = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/stdout", "/dev/stderr", "/dev/pts/", "/dev/fd/",
    "/dev/ptmx", "/dev/random", "/dev/urandom", "/proc/",
)  # fmt: skip
_SHARED = "/dev/shm"


class Guard:
    """Judges paths. `roots`: directories in which the program may do as it likes; none means anywhere."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = tuple(os.path.realpath(root) for root in roots)
        self._prefixes = tuple(os.path.join(root, "") for root in self._roots)
        self.refused: dict[str, str] = {}

    def judge(self, path: str, what: str, *, follow: bool) -> Reply:
        """Say what becomes of a call about an absolute path: it goes on, or is refused and noted.

        `follow`: the call would follow a link that the path itself is.
        """
        if not self._roots or path.startswith(_LET_THROUGH):
            return CONTINUE
        head, tail = os.path.split(path.rstrip("/"))
        real = os.path.realpath(path) if follow else os.path.join(os.path.realpath(head), tail)
        if real in self._roots or real.startswith(self._prefixes) or real.startswith(_LET_THROUGH):
            return CONTINUE
        if os.path.dirname(real) == _SHARED:
            return CONTINUE
        if len(self.refused) < TOLD_MAX:
            self.refused.setdefault(real, what)
        return -errno.EACCES
