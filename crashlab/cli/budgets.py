"""Budgets of a sitting: time, trials, crash states, findings."""

import re
from collections.abc import Callable
from typing import Any

import click
import msgspec

from crashlab.decide.duration import parse_duration
from crashlab.errors import UsageError, did_you_mean

KINDS = ("trials", "states", "findings")
SECONDS = 3600.0
COUNT_MAX = 10**15
_COUNT = re.compile(r"(\d[\d_]{0,18})([kMG]?)", re.ASCII)
_FACTOR = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


class Budget(msgspec.Struct, frozen=True):
    """What may be used up; None where nothing was said. `findings` counts different ones."""

    seconds: float | None = None
    trials: int | None = None
    states: int | None = None
    findings: int | None = None

    def require_time_only(self, why: str) -> None:
        """Refuse what is not a duration.

        Raises:
            UsageError: there is something else.
        """
        for kind in KINDS:
            if getattr(self, kind) is not None:
                raise UsageError(f"--budget {kind}=…: {why}")


def parse_budget(texts: tuple[str, ...]) -> Budget:
    """Read `60s`, `trials=500`, `states=10M`, `findings=3`, each at most once.

    Raises:
        UsageError: none of these, or one of them twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        kind, equals, value = text.partition("=")
        if not equals:
            kind, amount = "seconds", parse_duration(text, "--budget")
        elif kind not in KINDS:
            raise UsageError(
                f"--budget {text!r}: unknown kind {kind!r}; expected a duration such as 90s, or one of "
                f"{', '.join(f'{name}=N' for name in KINDS)}{did_you_mean(kind, KINDS)}"
            )
        else:
            amount = _count(value, text)
        if kind in found:
            raise UsageError(f"--budget {text!r}: {'a time' if kind == 'seconds' else kind} was given already")
        found[kind] = amount
    return Budget(**found)


def _count(value: str, text: str) -> int:
    match = _COUNT.fullmatch(value)
    count = int(match[1]) * _FACTOR[match[2]] if match else 0
    if not 0 < count <= COUNT_MAX:
        raise UsageError(f"--budget {text!r}: expected a whole number above zero such as 5000, 500k, 10M or 1G")
    return count


def budgets_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--budget`, repeatable, to a click command; it arrives as `budget`."""
    return click.option(
        "--budget",
        "budget",
        multiple=True,
        callback=lambda _ctx, _param, value: parse_budget(value),
        metavar="DURATION|KIND=N",
        help="Time (90s, 10m), trials=N, states=N or findings=N; repeatable. What is used up first ends it.",
    )(function)
