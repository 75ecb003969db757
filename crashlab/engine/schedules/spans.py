"""The course of a run in one line a segment: for diagrams, and where there is no room for every call."""

import msgspec

from crashlab.engine.schedules.ran import Look, Passing, Ran

__all__ = ["Span", "spans_of"]

_STEP = "step "
_WAITS = frozenset({"busy", "sleep", "lock"})


class Span(msgspec.Struct, frozen=True):
    """One actor's run. `calls`: how many it made; `did`: which steps it began, or that it went on; `stopped`: the call
    that it then stood before, "" where it had finished or waits; `look`: the wal-index then.
    """

    actor: int
    calls: int
    did: str
    stopped: str = ""
    look: Look | None = None

    @property
    def seen(self) -> str:
        """The wal-index in words."""
        if self.look is None:
            return ""
        impossible = ": more copied than there is" if self.impossible else ""
        return f"mxFrame {self.look.max_frame}, nBackfill {self.look.backfilled}{impossible}"

    @property
    def impossible(self) -> bool:
        """Whether no correct SQLite has such a wal-index."""
        return self.look is not None and self.look.backfilled > self.look.max_frame

    def __str__(self) -> str:
        """Say it in one line."""
        stopped = f"; stopped before {self.stopped!r}" if self.stopped else ""
        seen = f"; {self.seen}" if self.look is not None else ""
        return f"{chr(97 + self.actor)}: {self.did}, {self.calls} calls{stopped}{seen}"


def spans_of(ran: Ran) -> list[Span]:
    """Return the spans of a run that was made with `tell`; segments in which nothing happened are left out."""
    found = []
    for number, passing in enumerate(ran.course):
        if not passing.calls:
            continue
        following = next((later for later in ran.course[number + 1 :] if later.actor == passing.actor), None)
        waits = passing.calls[-1] in _WAITS
        stopped = "" if waits or following is None or not following.calls else following.calls[0]
        found.append(Span(passing.actor, _count(passing), _did(passing, waits=waits), stopped, passing.look))
    return found


def _did(passing: Passing, *, waits: bool) -> str:
    steps = [call.removeprefix(_STEP) for call in passing.calls if call.startswith(_STEP)]
    begun = f"begins {', then '.join(steps)}" if steps else "goes on"
    went_on = steps and not passing.calls[0].startswith(_STEP)
    return f"{'goes on, then ' if went_on else ''}{begun}{' and waits' if waits else ''}"


def _count(passing: Passing) -> int:
    return sum(1 for call in passing.calls if not call.startswith(_STEP) and call not in _WAITS)
