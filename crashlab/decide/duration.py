"""Durations as people write them: `90s`, `10m`, `2h`, or a bare number of seconds."""

import re

from crashlab.errors import UsageError

_DURATION = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)(ms|s|m|h)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def parse_duration(text: str | int | float, what: str = "budget") -> float:
    """Return seconds.

    Raises:
        UsageError: not of the form.
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{what} {text!r}: expected a duration above zero such as 90s, 10m or 2h")
    return float(match[1]) * _SECONDS[match[2]]
