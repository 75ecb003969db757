"""What was seen that will hurt later, as plain data."""

import os
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from fnmatch import fnmatch
from typing import Any, NamedTuple

FORMAT_VERSION = 1


class Severity(StrEnum):
    """DANGER: this alone can lose or damage data. RISK: together with something else, such as a power loss."""

    DANGER = "danger"
    RISK = "risk"


class Frame(NamedTuple):
    """One place in the program: source file, line, function."""

    file: str
    line: int
    function: str


class Related(NamedTuple):
    """Another place that belongs to it, with what happened there."""

    what: str
    stack: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Hazard:
    """One hazard. `id`: a key of `KINDS`, which says why it hurts and what to do instead.

    `path`: the database. `seen`: what was seen, one sentence. `stack`: where, the user's own frame first;
    empty where no Python code was running. `related`: other places, such as where the database was opened.
    `context`: the test that it belongs to, if any. `count`: how often it was seen at the same place.
    """

    id: str
    path: str
    seen: str
    stack: tuple[Frame, ...] = ()
    related: tuple[Related, ...] = ()
    pid: int = 0
    context: str = ""
    count: int = 1

    @property
    def place(self) -> Frame | None:
        """The user's frame that did it."""
        return self.stack[0] if self.stack else None

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for the same hazard at the same place of the program."""
        return self.id, self.path, self.place, self.context

    def again(self, times: int = 1) -> "Hazard":
        """The same, seen more often."""
        return replace(self, count=self.count + times)

    def as_data(self) -> dict[str, Any]:
        """As a dictionary for JSON."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> "Hazard":
        """The reverse of `as_data`, after a way through JSON."""

        def frames(rows: Any) -> tuple[Frame, ...]:
            # asdict keeps named tuples, JSON makes lists of them
            return tuple(Frame(str(row[0]), int(row[1]), str(row[2])) for row in rows)

        related = tuple(Related(str(what), frames(stack)) for what, stack in data["related"])
        given = {name: data[name] for name in ("id", "path", "seen", "pid", "context", "count")}
        return cls(stack=frames(data["stack"]), related=related, **given)


class Ignore:
    """What is not to be reported: entries `ID`, `ID:GLOB` or `:GLOB`, the glob for the database's path.

    Raises UsageError for an unknown id.
    """

    def __init__(self, entries: tuple[str, ...] = ()) -> None:
        from crashlab.diagnosis.hazards.kinds import KINDS
        from crashlab.errors import UsageError, did_you_mean

        self._pairs: list[tuple[str, str]] = []
        for entry in entries:
            name, _, glob = entry.strip().partition(":")
            if name and name not in KINDS:
                raise UsageError(
                    f"no hazard {name!r} to ignore; expected ID, ID:GLOB or :GLOB with one of: "
                    f"{', '.join(KINDS)}{did_you_mean(name, KINDS)}"
                )
            if name or glob:
                self._pairs.append((name, glob))

    def covers(self, hazard: Hazard) -> bool:
        """Whether it is to be left out."""
        return any(
            (not name or name == hazard.id) and (not glob or _matches(hazard.path, glob)) for name, glob in self._pairs
        )


def _matches(path: str, glob: str) -> bool:
    return fnmatch(path, glob) or fnmatch(os.path.basename(path), glob)
