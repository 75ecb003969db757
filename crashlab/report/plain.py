"""Text of other people's programs on our terminal: control characters are shown, never obeyed.

Workload names, error messages, rows and paths come from the program under test. A terminal would act on
the escape sequences in them (colours, a cleared screen, a fake GO line); rich removes only five of them.
"""

import re

# C0 but tab and newline, DEL, C1, bidirectional overrides, and lone surrogates, which no encoding takes.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_BREAKS = re.compile(r"[ ]*[\t\n\r\v\f\x85\u2028\u2029][ \t\n\r\v\f\x85\u2028\u2029]*")


def printable(text: str) -> str:
    r"""Return the text with every control character written out (`\x1b`); tabs and newlines stay."""
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def one_line(text: str) -> str:
    """Return the text on one line, control characters written out; runs of spaces stay as they are."""
    return printable(_BREAKS.sub(" ", text.strip()))
