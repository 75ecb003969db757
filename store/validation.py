"""Checks of arguments: each returns the value it accepts or raises `StoreValidation`.

They run on every write, so the accepting path is a handful of C calls and no more.
"""

import difflib
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from store.errors import StoreValidation

_INFINITY: Final = math.inf
MAX_INTEGER: Final = 2**63 - 1  # SQLite's largest integer
MAX_NAME: Final = 200  # characters in a name or key
MAX_TEXT: Final = 1_000_000  # characters in a value; SQLite's own limit is 10**9 bytes

# Plain decimal notation, at most 30 digits before and after the point. The bound keeps
# Decimal("1E+999999999") from becoming a gigabyte of zeros.
_PLAIN: Final = r"(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{1,30})?"
_DECIMAL: Final = re.compile(_PLAIN)
_ABOVE_ZERO: Final = rf"(?=[0.]*[1-9]){_PLAIN}"
_ONE_AMOUNT: Final = re.compile(_ABOVE_ZERO).fullmatch
_TWO_AMOUNTS: Final = re.compile(f"{_ABOVE_ZERO} {_ABOVE_ZERO}").fullmatch


def text(value: object, what: str, limit: int = MAX_TEXT) -> str:
    """A string that SQLite stores and returns unchanged: no NUL, no lone surrogate, not too long."""
    if not isinstance(value, str):
        raise StoreValidation(f"{what} must be a string, not {type(value).__name__}: {shown(value)}")
    if len(value) > limit:
        raise StoreValidation(f"{what} has {len(value)} characters; at most {limit} are stored")
    if "\0" in value:
        raise StoreValidation(f"{what} contains a NUL character, where SQLite's text functions stop: {shown(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise StoreValidation(f"{what} contains a lone surrogate, which is no text: {shown(value)}") from None
    return value


def name(value: object, what: str) -> str:
    """A string as `text`, that is not empty or blank, of at most `MAX_NAME` characters."""
    # The usual case in few calls: NUL and surrogates are not printable.
    if type(value) is str and value.isprintable() and 0 < len(value) <= MAX_NAME and not value.isspace():
        return value
    checked = text(value, what, MAX_NAME)
    if not checked or checked.isspace():
        raise StoreValidation(f"{what} must not be empty")
    return checked


def integer(value: object, what: str, least: int = 0, most: int = MAX_INTEGER) -> int:
    """An integer from `least` to `most`; a bool is not one."""
    if type(value) is int and least <= value <= most:
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise StoreValidation(f"{what} must be an integer, not {type(value).__name__}: {shown(value)}")
    if not least <= value <= most:
        raise StoreValidation(f"{what} must be from {least} to {most}, not {shown(value)}")
    return int(value)


def number(value: object, what: str) -> float | int:
    """A finite float, or an integer of at most 64 bits; a bool is not a number."""
    if type(value) is float and -_INFINITY < value < _INFINITY:
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        raise StoreValidation(f"{what} must be finite, not {value!r}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise StoreValidation(f"{what} must be a number, not {type(value).__name__}: {shown(value)}")
    if not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise StoreValidation(f"{what} does not fit into 64 bits: {shown(value)}")
    return int(value)


def amount(value: object, what: str) -> str:
    """A positive exact quantity as plain decimal text; the digits given are kept ("1.10" stays "1.10").

    Accepts `Decimal`, `int` and text; a float is refused, because it has lost the exact value already.
    """
    if isinstance(value, str):
        plain = value
    elif isinstance(value, Decimal):
        if not value.is_finite():
            raise StoreValidation(f"{what} must be finite, not {value}")
        exponent = value.as_tuple().exponent
        plain = format(value, "f") if isinstance(exponent, int) and -30 <= exponent <= 30 else str(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        plain = str(value) if abs(value) < 10**30 else "too large"
    elif isinstance(value, float):
        raise StoreValidation(f"{what} must be exact: pass Decimal, int or text, not the float {value!r}")
    else:
        raise StoreValidation(f"{what} must be Decimal, int or text, not {type(value).__name__}: {shown(value)}")
    if not _DECIMAL.fullmatch(plain):
        raise StoreValidation(
            f"{what} must be a plain decimal such as 12.50, at most 30 digits each side, not {shown(value)}"
        )
    if not plain.strip("0."):
        raise StoreValidation(f"{what} must be greater than zero, not {shown(value)}")
    return plain


def usual_amount(value: object, what: str) -> str:
    """As `amount`; the usual text passes after one match."""
    return value if type(value) is str and _ONE_AMOUNT(value) else amount(value, what)


def are_amounts(first: object, second: object) -> bool:
    """Whether both are text that `amount` accepts unchanged; one match instead of two."""
    return type(first) is str and type(second) is str and _TWO_AMOUNTS(f"{first} {second}") is not None


def shown(value: object) -> str:
    """The value for an error message: ASCII, one line, never long, and never itself an error."""
    try:
        full = ascii(value)
    except Exception:  # a hostile or huge value (int has a digit limit) must not replace the message
        full = f"<{type(value).__name__}>"
    return full if len(full) <= 60 else full[:57] + "..."


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """The ending of an error message about an unknown word."""
    words = sorted(known)
    close = difflib.get_close_matches(str(given), words, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(words)}"
