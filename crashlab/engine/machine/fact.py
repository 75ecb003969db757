"""One fact about a machine."""

from enum import StrEnum

import msgspec

__all__ = ["Fact", "State"]


class State(StrEnum):
    """YES: works. NOTE: works, and there is something to know. NO: does not work here."""

    YES = "yes"
    NOTE = "note"
    NO = "no"


class Fact(msgspec.Struct, frozen=True):
    """`name`: what was looked at. `value`: what was seen. `therefore`: what that means for the one who uses the lab;
    `do`: what he can do about it. Both are empty where all is well.
    """

    name: str
    state: State
    value: str
    therefore: str = ""
    do: str = ""
