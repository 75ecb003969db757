"""What a fault model is asked for: what may be lost, and how many states of it to look at.

`crashlab.states.models` makes the states. This half is without numpy: a fault's text is parsed by who only imports
the public API.
"""

from enum import StrEnum

import msgspec

__all__ = ["Model", "Policy"]


class Policy(StrEnum):
    """What may be lost."""

    KILL = "kill"
    SYNCED_ONLY = "synced-only"
    PREFIX = "prefix"
    SUBSET = "subset"
    TORN = "torn"


class Model(msgspec.Struct, frozen=True):
    """A policy and its bounds.

    `states_max`: states generated at moments that the classes cover. `direct_max`: at those that they don't,
    where each different disk is recovered by itself. `entries`: whether directory entries may be lost.
    `first`, `last`: the moments looked at, both included, `last=-1` for the end.
    """

    policy: Policy
    states_max: int = 100_000
    direct_max: int = 2_000
    entries: bool = True
    first: int = 0
    last: int = -1
