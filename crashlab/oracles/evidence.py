"""Evidence in plain data, bounded: a finding stays readable and small whatever the rows are."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from crashlab.model.history import StepRecord
from crashlab.model.step import Row
from crashlab.oracles.keys import KeyState

EXAMPLES_MAX = 10
LINES_MAX = 10
VALUES_MAX = 4
COLUMNS_MAX = 8
TEXT_CHARS_MAX = 60
LINE_CHARS_MAX = 300


def show(row: Row | None) -> str:
    """Return a row as text, long columns and many columns cut; "no row" for None."""
    if row is None:
        return "no row"
    text = ", ".join(map(_show_column, row[:COLUMNS_MAX]))
    return f"({text}, … {len(row)} columns)" if len(row) > COLUMNS_MAX else f"({text})"


def _show_column(value: Any) -> str:
    if isinstance(value, str | bytes) and len(value) > TEXT_CHARS_MAX:
        return f"{value[:TEXT_CHARS_MAX]!r}… ({len(value)} in all)"
    return repr(value)


def step_name(step: StepRecord) -> str:
    """Return `lane#seq (state)`, with the process if it is not the writer."""
    process = f" of process {step.process}" if step.process else ""
    return f"{step.lane}#{step.seq}{process} ({step.state.value})"


def key_example(state: KeyState, steps: Sequence[StepRecord]) -> dict[str, Any]:
    """Return one key as evidence: what came back, and the last few that wrote it."""
    writers = sorted(state.writers, key=lambda writer: steps[writer[0]].begin_ns)
    return {
        "table": state.table,
        "key": show(state.key),
        "found": show(state.found),
        "writers": len(writers),
        "written": [f"{step_name(steps[index])}: {show(value)}" for index, value in writers[-VALUES_MAX:]],
    }


def lines(problems: Iterable[str]) -> list[str]:
    """Return the first few problem lines, long ones cut."""
    return [line[:LINE_CHARS_MAX] for line in islice(problems, LINES_MAX)]


def rows(count: int, what: str = "row") -> str:
    """Return "1 row" or "3 rows"."""
    return f"{count} {what}{'' if count == 1 else 's'}"
