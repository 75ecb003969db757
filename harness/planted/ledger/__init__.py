"""Broken twins of the run ledger: one bug a file, each caught by one named invariant."""

from crashlab.decide.planted import Planted
from harness.planted.ledger import (
    alter_loses_race,
    archive_first,
    blanket_fail,
    cancel_overwrites,
    cancel_waits,
    count_cleans_up,
    count_then_insert,
    heartbeat_after_end,
    heartbeat_as_text,
    loader_revives,
    no_fence,
    reaps_running_only,
    registry_leaks,
    retry_says_no,
    steps_in_memory,
    swallows_locked,
    version_apart,
)

PLANTED: tuple[Planted, ...] = tuple(
    module.PLANTED
    for module in (
        cancel_overwrites,
        heartbeat_after_end,
        loader_revives,
        heartbeat_as_text,
        blanket_fail,
        no_fence,
        reaps_running_only,
        count_then_insert,
        count_cleans_up,
        cancel_waits,
        archive_first,
        registry_leaks,
        retry_says_no,
        steps_in_memory,
        alter_loses_race,
        version_apart,
        swallows_locked,
    )
)

__all__ = ["PLANTED"]
