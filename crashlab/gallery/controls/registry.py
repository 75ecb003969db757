"""All controls, in the order in which a gate runs them."""

from crashlab.gallery.controls import (
    ack_before_commit,
    no_directory_sync,
    off_power_loss,
    swallowed_error,
    two_transactions,
    unsynced_checkpoint,
    upsert_overwrites,
)
from crashlab.gallery.controls.control import Control

CONTROLS: tuple[Control, ...] = (
    ack_before_commit.CONTROL,
    two_transactions.CONTROL,
    swallowed_error.CONTROL,
    upsert_overwrites.CONTROL,
    off_power_loss.CONTROL,
    unsynced_checkpoint.CONTROL,
    no_directory_sync.CONTROL,
)
