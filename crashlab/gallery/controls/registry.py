"""All controls, in the order in which a gate runs them."""

from crashlab.gallery.controls import (
    ack_before_commit,
    off_power_loss,
    swallowed_error,
    two_transactions,
    upsert_overwrites,
)
from crashlab.gallery.controls.control import Control

CONTROLS: tuple[Control, ...] = (
    ack_before_commit.CONTROL,
    two_transactions.CONTROL,
    swallowed_error.CONTROL,
    upsert_overwrites.CONTROL,
    off_power_loss.CONTROL,
)
