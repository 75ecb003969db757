"""Broken twins of the store: one bug a file, each caught by one named invariant.

The lab is tested on them: an invariant that no planted bug breaks proves nothing, and so does one that the
correct twin, the good store under the same parameters and fault, breaks as well.
"""

from crashlab.decide.planted import Planted
from harness.planted.manager import (
    backup_by_file_copy,
    close_leaks,
    close_swallows_busy,
    close_without_truncate,
    loop_dies_silently,
    loop_never_runs,
    no_lock,
    pins_itself,
    recreates_damaged,
    stall_unreported,
    swallows_io_error,
    truncate_periodic,
    version_at_close,
)

PLANTED: tuple[Planted, ...] = tuple(
    module.PLANTED
    for module in (
        no_lock,
        loop_never_runs,
        loop_dies_silently,
        truncate_periodic,
        pins_itself,
        stall_unreported,
        close_without_truncate,
        close_swallows_busy,
        close_leaks,
        recreates_damaged,
        version_at_close,
        swallows_io_error,
        backup_by_file_copy,
    )
)

__all__ = ["PLANTED", "Planted"]
