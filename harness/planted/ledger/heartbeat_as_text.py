"""Heartbeats are compared as text at second resolution: all that fell into one second are equally old."""

from crashlab.decide.planted import Planted
from harness.workloads.run_ledger import RunLedgers
from store import RunLedger

_TEXT = "strftime('%Y-%m-%d %H:%M:%S', {} / 1000000000, 'unixepoch')"


class HeartbeatAsText(RunLedger):
    """Asks SQLite for the time as people write it."""

    def _stale(self, older_than_s: object) -> tuple[str, tuple[object, ...]]:
        _, values = super()._stale(older_than_s)
        return f"{_TEXT.format('heartbeat_at')} <= {_TEXT.format('?')}", values


workload = RunLedgers(HeartbeatAsText)
twin = RunLedgers()

PLANTED = Planted(
    id="heartbeat-as-text",
    title="heartbeats compared as text, in whole seconds",
    broken="a heartbeat in the same second as the limit counts as too old, though it is younger",
    oracle="books",
    invariant="live-runs-left-alone",
    trials=20,
    module=__name__,
)
