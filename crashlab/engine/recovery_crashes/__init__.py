"""Crashes of the recovery itself: the program's start-up after a crash is recorded, crashed and run again."""

from crashlab.engine.recovery_crashes.counts import RecoveryCrashes, RecoveryLimits, RecoveryMismatch
from crashlab.engine.recovery_crashes.crasher import RecoveryCrasher
from crashlab.engine.recovery_crashes.restarter import Restarter

__all__ = ["RecoveryCrasher", "RecoveryCrashes", "RecoveryLimits", "RecoveryMismatch", "Restarter"]
