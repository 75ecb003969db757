"""`with watch() as seen:` and what it collects."""

import os
import warnings
from types import TracebackType
from typing import Self

from crashlab.diagnosis.hazards.hazard import Hazard, Ignore
from crashlab.diagnosis.hazards.spool import Spool
from crashlab.diagnosis.hazards.stack import silenced
from crashlab.diagnosis.hazards.text import count_of, grouped, headline
from crashlab.diagnosis.hazards.watcher import WATCHER
from crashlab.errors import CrashlabError, UsageError, did_you_mean

HAZARDS_MAX = 1000
MODES = ("collect", "warn", "error")


class CrashlabHazardWarning(UserWarning):
    """A running program did something that will hurt it later."""


class HazardsFoundError(CrashlabError):
    """A watch with `on="error"` saw hazards; `hazards` has them."""

    exit_code = 1

    def __init__(self, hazards: list[Hazard]) -> None:
        self.hazards = hazards
        super().__init__(f"{count_of(hazards)}\n\n{grouped(hazards)}")


class Watch:
    """Watches this process, and children that it forks, for hazards; a context manager.

    `on`: "collect" only collects, "warn" warns at once with `CrashlabHazardWarning` at the line that did it, "error"
    raises `HazardsFoundError` at the end (nothing that the program does is ever prevented). `ignore`: what is not to
    be reported, as `ID`, `ID:GLOB` or `:GLOB`; a line with the comment `# crashlab: ignore[ID]` is left out too.

    `hazards` has what was seen, at most 1000, equal ones counted; `gaps` says in words what cannot be seen here;
    `problems` has errors of the watch itself. A watch inside a watch takes the hazards for itself.
    Raises UsageError for an unknown mode or id.
    """

    def __init__(self, *, on: str = "collect", ignore: tuple[str, ...] | list[str] = (), spool: str = "") -> None:
        if on not in MODES:
            raise UsageError(f"watch(on={on!r}): expected one of {', '.join(MODES)}{did_you_mean(on, MODES)}")
        if isinstance(ignore, str):
            raise UsageError(f"watch(ignore={ignore!r}): expected a tuple of ids, such as ('{ignore}',)")
        self._on = on
        self._ignore = Ignore(tuple(ignore))
        self._path = spool
        self._spool: Spool | None = None
        self._seen: dict[object, Hazard] = {}
        self._owner = 0

    def start(self) -> Self:
        """Begin; `with` does it."""
        self._owner = os.getpid()
        self._spool = Spool(self._path or None)
        WATCHER.start(self)
        return self

    def stop(self) -> None:
        """Look a last time and end; nothing happens the second time."""
        if self._spool is None:
            return
        WATCHER.stop(self)
        self._read()
        self._spool.close()
        self._spool = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._on == "error" and self._seen and error is None:
            raise HazardsFoundError(list(self._seen.values()))

    @property
    def hazards(self) -> list[Hazard]:
        """What was seen so far, in this order."""
        self._read()
        return list(self._seen.values())

    @property
    def gaps(self) -> tuple[str, ...]:
        """What cannot be seen in this process, and why; empty when everything can."""
        return WATCHER.gaps

    @property
    def problems(self) -> list[str]:
        """Errors of the watch itself, which were kept from the program."""
        return list(WATCHER.problems)

    def look(self, context: str = "") -> None:
        """Look at what is seen only by looking; hazards from now on belong to `context` (a test)."""
        WATCHER.rest()
        WATCHER.scene.context = context

    def taken(self) -> list[Hazard]:
        """Return what was seen so far, and forget it."""
        found = self.hazards
        self._seen.clear()
        return found

    def take(self, hazard: Hazard) -> None:
        """Called by the watcher with each hazard. Raises what a warning is made to raise."""
        related = (frame for each in hazard.related for frame in each.stack[:1])
        if self._ignore.covers(hazard) or silenced(hazard.id, (*hazard.stack, *related)):
            return
        ours = os.getpid() == self._owner
        if self._spool is not None and (not ours or self._path):
            self._spool.tell(hazard)
        if ours:
            self._add(hazard)

    def _read(self) -> None:
        if self._spool is not None and not self._path and os.getpid() == self._owner:
            for hazard in self._spool.read():
                self._add(hazard)

    def _add(self, hazard: Hazard) -> None:
        known = self._seen.get(hazard.key)
        if known is not None:
            self._seen[hazard.key] = known.again(hazard.count)
            return
        if len(self._seen) >= HAZARDS_MAX:
            return
        self._seen[hazard.key] = hazard
        if self._on == "warn":
            place = hazard.place
            file, line = (place.file, place.line) if place else ("<crashlab>", 0)
            warnings.warn_explicit(headline(hazard), CrashlabHazardWarning, file, line)


def watch(*, on: str = "collect", ignore: tuple[str, ...] | list[str] = ()) -> Watch:
    """Watch this process for hazards: `with watch() as seen: ...`, then `seen.hazards`. See `Watch`."""
    return Watch(on=on, ignore=ignore)
