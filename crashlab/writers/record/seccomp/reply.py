"""What a handler says about a call."""

from typing import NamedTuple, TypeAlias

__all__ = ["CONTINUE", "Continue", "Give", "Later", "Reply"]


class Continue:
    """The kernel does the call as it is."""


class Give(NamedTuple):
    """The caller gets a copy of our `descriptor`, which is then closed here."""

    descriptor: int
    close_on_exec: bool


class Later(NamedTuple):
    """A sync of our `descriptor`, begun in the log as `start`; it may take long, so others go on meanwhile."""

    descriptor: int
    data_only: bool
    start: int


CONTINUE = Continue()

Reply: TypeAlias = "int | Continue | Give | Later"
"""An `int` is the call's result, or a negative errno."""
