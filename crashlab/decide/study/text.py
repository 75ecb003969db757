"""Numbers as people read them."""

from math import floor, log10

__all__ = ["number"]


def number(value: float, *, sign: bool = False) -> str:
    """Return three significant digits, never in powers of ten; whole numbers below a million as they are."""
    plus = "+" if sign else ""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):{plus}d}"
    digits = max(0, 2 - floor(log10(abs(value))))
    text = f"{value:{plus}.{min(digits, 9)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
