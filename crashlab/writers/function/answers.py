"""Calling a user's check, and what its answer says."""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["ask", "problem_of"]


def ask(function: Callable[..., Any], gets: Mapping[str, str], gives: Mapping[str, Any]) -> str:
    """Call a check with what its parameters are named for; return what is wrong, "" for nothing.

    `gets`: parameter → a name in `gives`. Any exception but an AssertionError is passed on.
    """
    try:
        return problem_of(function(**{name: gives[what] for name, what in gets.items()}))
    except AssertionError as error:
        return str(error).strip() or f"an assertion of {getattr(function, '__name__', 'the check')} failed"


def problem_of(answer: Any) -> str:
    """What a check's answer says: None, True or nothing at all is well."""
    if answer is None or answer is True:
        return ""
    if answer is False:
        return "it returned False"
    if isinstance(answer, str):
        return answer
    try:
        return "; ".join(str(each) for each in answer)
    except TypeError:
        return f"it returned {answer!r}"
