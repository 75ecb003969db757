"""Broken twins of the trading books: one bug a file, each caught by one named invariant."""

from crashlab.decide.planted import Planted
from harness.planted.books import (
    cancel_overwrites_filled,
    capital_booked_twice,
    closed_after_close,
    drift_in_units,
    fill_and_ledger_apart,
    float_drift,
    forgets_session,
    halt_only_if_different,
    indexes_after_version,
    orphan_of_any_age,
    overlay_of_all_time,
    summary_without_overlay,
    swallows_locked,
    touch_apart,
    version_outside_transaction,
)

PLANTED: tuple[Planted, ...] = tuple(
    module.PLANTED
    for module in (
        halt_only_if_different,
        summary_without_overlay,
        float_drift,
        overlay_of_all_time,
        drift_in_units,
        fill_and_ledger_apart,
        touch_apart,
        forgets_session,
        closed_after_close,
        cancel_overwrites_filled,
        orphan_of_any_age,
        capital_booked_twice,
        swallows_locked,
        version_outside_transaction,
        indexes_after_version,
    )
)

__all__ = ["PLANTED", "Planted"]
