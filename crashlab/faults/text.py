"""The fault text form: `kind@selector[#n][+bytes][ key=value…]`, parsed and printed.

    none
    kill@ack#17 delay=300us      kill@phase=checkpoint#2 delay=1ms      kill@start delay=2ms
    hangup@ack#5 on=handle grace=5s
    kill@wal.write#5+1024        io-error@main.sync#2 error=EIO mode=persistent
    damage@main.page#3+17 bit=4  damage@wal+1000 op=truncate            damage@wal op=delete after=ack#20

The printed form is canonical: options in a fixed order, defaults left out, so equal faults print equal.
"""

import re
from collections.abc import Iterable

import msgspec

from crashlab.errors import UsageError, did_you_mean

TEXT_CHARS_MAX = 300
_FAULT = re.compile(
    r"(?P<kind>[a-z][a-z-]*)"
    r"(?:@(?P<selector>[a-z][a-z-]*(?:[.=][a-z][a-z-]*){0,2})(?:#(?P<n>\d{1,9}))?(?:\+(?P<bytes>\d{1,12}))?)?"
    r"(?P<options>(?: [a-z_]+=[^\s=]\S*)*)"
)
_DURATION = re.compile(r"(\d{1,9})(us|ms|s)")
_MICROSECONDS = {"us": 1, "ms": 1000, "s": 1_000_000}


class FaultText(msgspec.Struct, frozen=True):
    """A fault's text taken apart; `n` and `offset` are None where the text has none."""

    kind: str
    selector: str = ""
    n: int | None = None
    offset: int | None = None
    options: dict[str, str] = {}
    source: str = ""

    def allow(self, *names: str) -> None:
        """Refuse options that this kind does not have.

        Raises:
            UsageError: an option is unknown.
        """
        for name in self.options:
            if name not in names:
                known = ", ".join(names) or "none"
                raise UsageError(
                    f"fault {self.source!r}: {self.kind} has no option {name!r} (it has: {known})"
                    f"{did_you_mean(name, names)}"
                )

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        """Return an option that must be one of `choices`."""
        value = self.options.get(name, default)
        known = tuple(map(str, choices))
        if value not in known:
            raise UsageError(
                f"fault {self.source!r}: {name}={value} is none of {', '.join(known)}{did_you_mean(value, known)}"
            )
        return value

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole-number option between `low` and `high`."""
        value = self.options.get(name, str(default))
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise UsageError(f"fault {self.source!r}: {name}={value}, expected a whole number {low} to {high}")
        return int(value)

    def microseconds(self, name: str, default: int, *, most_s: int = 600) -> int:
        """Return a duration option (`300us`, `20ms`, `5s`) in microseconds."""
        value = self.options.get(name)
        if value is None:
            return default
        match = _DURATION.fullmatch(value)
        if not match or int(match[1]) * _MICROSECONDS[match[2]] > most_s * 1_000_000:
            raise UsageError(
                f"fault {self.source!r}: {name}={value}, expected a duration such as 300us, 20ms or 5s, "
                f"at most {most_s}s"
            )
        return int(match[1]) * _MICROSECONDS[match[2]]


def split_fault(text: str) -> FaultText:
    """Take a fault's text apart.

    Raises:
        UsageError: it does not have the form.
    """
    match = _FAULT.fullmatch(text.strip()) if len(text) <= TEXT_CHARS_MAX else None
    if match is None:
        raise UsageError(
            f"fault {text[:80]!r}: expected kind@selector[#n][+bytes][ key=value…], e.g. 'kill@ack#17 delay=300us'"
        )
    options: dict[str, str] = {}
    for pair in match["options"].split():
        name, _, value = pair.partition("=")
        if name in options:
            raise UsageError(f"fault {text!r}: option {name!r} is given twice")
        options[name] = value
    return FaultText(
        match["kind"],
        match["selector"] or "",
        int(match["n"]) if match["n"] else None,
        int(match["bytes"]) if match["bytes"] else None,
        options,
        text.strip(),
    )


def format_duration(microseconds: int) -> str:
    """Return the shortest exact text of a duration."""
    if microseconds % 1_000_000 == 0:
        return f"{microseconds // 1_000_000}s"
    if microseconds % 1000 == 0:
        return f"{microseconds // 1000}ms"
    return f"{microseconds}us"
