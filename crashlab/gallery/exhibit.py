"""An exhibit: one known way for a WAL database to lose or damage data, beside a control that differs in one step.

An acquittal is the reverse: something that is blamed for damage, shown to do none, beside a control in which
the same method does see damage. Both have a *picture*, the features that the damage leaves, and a *clean*
picture, those of a run without it. Pictures are data: what reads damaged files later matches against them.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from crashlab.model.contract import FaultClass
from crashlab.sqlite.advisories import ADVISORIES

if TYPE_CHECKING:
    from crashlab.gallery.stage.stage import Stage

__all__ = ["CLEAN", "EVERY_VERSION", "WAL_RESET", "Affected", "Exhibit", "Features", "Kind", "Need"]

Features = Mapping[str, str]
"""Feature -> value, such as ``{"rows.lost": "suffix"}``; ``|`` separates values that all count."""

CLEAN: Features = {"rows.lost": "none", "open.error": "none", "quick_check": "ok", "integrity_check": "ok"}
"""A run in which nothing was lost and nothing was damaged."""


class Kind(StrEnum):
    """What an exhibit shows."""

    MECHANISM = "mechanism"
    ACQUITTAL = "acquittal"


class Need(StrEnum):
    """What must be there for an exhibit to run; where it is not, the exhibit is skipped with this reason."""

    FORK = "os.fork"
    PROC = "Linux with /proc"
    TAP = "a SQLite that can be tapped"
    FTS5 = "SQLite with FTS5"
    PTY = "pseudo-terminals"
    STDLIB = "the standard library's sqlite3"
    POSIX_LOCKS = "POSIX record locks"
    APSW = "apsw (pip install apsw)"


@dataclass(frozen=True, slots=True)
class Affected:
    """Which SQLite versions do it: those from `first` to before `fixed`, without the patched `backports`.

    Without `fixed` every version does: the cause is not in SQLite.
    """

    says: str
    first: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()
    backports: tuple[tuple[int, ...], ...] = ()

    def covers(self, version: tuple[int, ...]) -> bool:
        """Whether a version is expected to show the picture."""
        if not self.fixed:
            return True
        patched = any(version[:2] == branch[:2] and version >= branch for branch in self.backports)
        return self.first <= version < self.fixed and not patched


EVERY_VERSION = Affected("every version")
_RESET = next(advisory for advisory in ADVISORIES if advisory.name == "wal-reset")
WAL_RESET = Affected("3.7.0 to 3.51.2; fixed in 3.51.3, 3.50.7, 3.44.6", _RESET.first, _RESET.fixed, _RESET.backports)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One exhibit.

    `id`: lower case, the letter of its mechanism first (`a1-split`). `title`: in the field's own terms.
    `happens`: how it comes about, two or three sentences. `control`: the one step in which the control
    differs. `run(stage)`: plays it, or its control if `stage.control`. `picture` and `clean`: what to see
    with and without the damage; `protected`: what to see on a SQLite that is not `affected`. `symptom`: what
    a user sees. `advice`: what to do, one line each.
    `mistaken_for`: what gets the blame. `links`: documents and reports. `fault_class`: what kind of bad luck
    it needs. `seconds_max` bounds one run.
    """

    id: str
    title: str
    fault_class: FaultClass
    happens: str
    control: str
    run: "Callable[[Stage], None]"
    picture: Features
    symptom: str
    advice: tuple[str, ...]
    clean: Features = field(default_factory=lambda: dict(CLEAN))
    protected: Features = field(default_factory=lambda: dict(CLEAN))
    kind: Kind = Kind.MECHANISM
    needs: tuple[Need, ...] = (Need.FORK, Need.PROC)
    affected: Affected = EVERY_VERSION
    mistaken_for: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    in_default_run: bool = True
    seconds_max: float = 30.0

    @property
    def letter(self) -> str:
        """The mechanism's letter in the documentation, such as `A1`."""
        return self.id.partition("-")[0].upper()

    def expected(self, *, control: bool, version: tuple[int, ...]) -> Features:
        """The features that a run is to show on a SQLite of that version."""
        if (self.kind is Kind.MECHANISM) is control:
            return self.clean
        return self.picture if self.affected.covers(version) else self.protected

    def missing_needs(self) -> tuple[Need, ...]:
        """What it needs and does not find on this machine, as far as that can be told without running it."""
        return tuple(need for need in self.needs if not _is_there(need))


def _is_there(need: Need) -> bool:
    import importlib.util
    import os

    if need is Need.FORK:
        return hasattr(os, "fork") and sys.platform == "linux"
    if need is Need.PROC:
        return sys.platform == "linux" and os.path.exists("/proc/locks") and os.path.exists("/proc/self/fd")
    if need is Need.PTY:
        return importlib.util.find_spec("pty") is not None and hasattr(os, "openpty")
    if need is Need.POSIX_LOCKS:
        return importlib.util.find_spec("fcntl") is not None
    if need is Need.APSW:
        return importlib.util.find_spec("apsw") is not None
    if need is Need.TAP:
        from crashlab.sqlite.tap import tap_problem

        return tap_problem() is None
    if need is Need.FTS5:
        from crashlab.sqlite.library import find_library

        return find_library().has("ENABLE_FTS5")
    return True
