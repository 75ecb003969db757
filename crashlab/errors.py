"""The one tree of errors crashlab raises on purpose.

Anything else that escapes (a ``TypeError``, say) is a defect of crashlab itself. Every message says what
happened, which value it was about, what was expected and what to do, on one line; the command line prints
it and ends with the class's ``exit_code``. Exit codes, everywhere in crashlab: 0 GO or pass, 1 NO-GO or
failures, 2 bad usage, configuration or input, 3 inconclusive (no judgement was possible; never a silent
pass), 130 interrupted.

Standard library only: the pytest plugin loads this module in every test session.
"""

from collections.abc import Iterable


class CrashlabError(Exception):
    """Base of all errors crashlab raises on purpose; catch this one to catch them all."""

    exit_code: int = 3


class UsageError(CrashlabError):
    """A bad argument: an unknown name, a malformed fault, a path that is no SQLite database."""

    exit_code = 2


class ConfigError(UsageError):
    """A bad value, key or type in ``crashlab.toml``."""


class SubjectError(CrashlabError):
    """The program under test can't be loaded or launched, or breaks the interface it promised."""

    exit_code = 2


class RecordError(CrashlabError):
    """A record (case, log, event stream) is damaged, too new, or not a record."""

    exit_code = 2


class TapUnavailableError(CrashlabError):
    """SQLite in this process can't be tapped, so what needs the tap has no answer: inconclusive, exit 3."""


class LimitError(CrashlabError):
    """A limit (time, bytes, frames, children) was reached before there was an answer: exit 3."""


class LabError(CrashlabError):
    """The lab itself failed (a lost child, its own full disk); nothing is said about the subject: exit 3."""


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of ``choices``, or ``""`` when none is close.

    Ignores case. Made to be appended to a message:
    ``f"unknown fault {value!r}{did_you_mean(value, known)}"``.
    """
    from difflib import get_close_matches  # for those who err: every recorded program loads this module at its start

    by_folded = {choice.casefold(): choice for choice in choices}
    close = get_close_matches(value.casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""
