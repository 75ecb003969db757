"""Hazards in words, the same for all three uses."""

import os
import textwrap
from collections.abc import Sequence

from crashlab.diagnosis.hazards.hazard import Frame, Hazard
from crashlab.diagnosis.hazards.kinds import KINDS

WIDTH = 100
_LABEL = 10


def count_of(hazards: Sequence[Hazard]) -> str:
    """Say how many there are, and of which kinds."""
    names = list(dict.fromkeys(hazard.id for hazard in hazards))
    return f"{len(hazards)} hazard{'s' if len(hazards) != 1 else ''}: {', '.join(names)}" if hazards else "no hazards"


def headline(hazard: Hazard) -> str:
    """One line: id, what was seen, which database."""
    return f"{hazard.id}: {hazard.seen} ({_near(hazard.path)}). {KINDS[hazard.id].instead}"


def whole(hazard: Hazard) -> str:
    """Everything: what was seen and where, why it hurts, what to do instead, how to silence it."""
    return grouped([hazard])


def grouped(hazards: Sequence[Hazard]) -> str:
    """Everything about several hazards, with what is true of a kind said once."""
    kinds: dict[str, list[Hazard]] = {}
    for hazard in hazards:
        kinds.setdefault(hazard.id, []).append(hazard)
    return "\n\n".join(_kind(name, several) for name, several in kinds.items())


def _kind(name: str, hazards: list[Hazard]) -> str:
    kind = KINDS[name]
    lines = [f"{name} [{kind.severity}] {kind.title}"]
    for hazard in hazards:
        lines += _one(hazard)
    lines += _field("why", kind.why)
    lines += _field("instead", kind.instead)
    if kind.link:
        lines += _field("see", kind.link)
    example = os.path.basename(hazards[0].path)
    lines += _field(
        "silence",
        f"a comment '# crashlab: ignore[{name}]' on that line, or ignore '{name}' or '{name}:*{example}'",
    )
    return "\n".join(lines)


def _one(hazard: Hazard) -> list[str]:
    times = f" ({hazard.count} times)" if hazard.count > 1 else ""
    lines = _field("database", _near(hazard.path))
    lines += _field("seen", hazard.seen + times)
    lines += _frames("at", hazard.stack)
    for each in hazard.related:
        lines += _frames("", each.stack, each.what)
    if hazard.context:
        lines += _field("test", hazard.context)
    return lines


def _field(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {label:<{_LABEL}}",
        subsequent_indent=" " * (_LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [f"  {label}"]


def _frames(label: str, stack: tuple[Frame, ...], what: str = "") -> list[str]:
    if not stack:
        return []
    rows = [f"{_near(frame.file)}:{frame.line} in {frame.function}" for frame in stack]
    head = f"{what} " if what else ""
    indent = " " * (_LABEL + 2)
    return [f"  {label:<{_LABEL}}{head}{rows[0]}", *(indent + row for row in rows[1:])]


def _near(path: str) -> str:
    """A path below the current directory without it."""
    here = os.path.join(os.getcwd(), "")
    return path.removeprefix(here)
