"""Recording one run: SQLite's files by the tap, the program's own beside them, and the proof that it is whole."""

import shutil
from pathlib import Path

import msgspec

from crashlab.engine.road import make_order
from crashlab.engine.slots import Slots
from crashlab.engine.workspace import Workspace
from crashlab.errors import LabError
from crashlab.faults.none import NoFault
from crashlab.log.reader import log_bases
from crashlab.model.case import Case
from crashlab.model.history import EndKind
from crashlab.states.replay import require_same
from crashlab.states.trace import Trace, load_trace
from crashlab.writers.order import TICK_S, ClockKind, Order, TapPlan
from crashlab.writers.record.names import is_labs_own

RECORDING_BYTES_MAX = 1 << 30


class Recording(msgspec.Struct, frozen=True):
    """A recorded run: `directory` holds the log and the files as the run left them; `order` is what was run."""

    directory: str
    order: Order

    def trace(self) -> Trace:
        """Load the recorded operations."""
        return load_trace(log_bases(self.directory))


def record(
    slots: Slots,
    workspace: Workspace,
    case: Case,
    plan: TapPlan | None = None,
    *,
    clock: ClockKind = ClockKind.STEPPED,
    tick_s: float = TICK_S,
) -> Recording:
    """Run a case's workload without a fault under the tap, and prove that the recording is whole.

    SQLite's own randomness is seeded from the case, so a single-threaded run gives the same bytes each time.
    `plan` replaces the default plan (for controls that drop syncs); `clock` and `tick_s` are as in `Order`. The
    recording is whole when the log, replayed, gives the files that are on the disk.

    Raises:
        LabError: the run broke, SQLite cannot be tapped here, or something wrote past the tap.
    """
    plan = plan or TapPlan(record=True, seed=case.subseed("sqlite"))
    with slots.use() as slot:
        order = make_order(slots, slot, workspace, case, NoFault())
        order = msgspec.structs.replace(
            order, tap=plan, probe=True, log_bytes_max=RECORDING_BYTES_MAX, clock=clock, tick_s=tick_s
        )
        ended = slot.launcher.launch(order)
    if ended.kind is not EndKind.EXITED or ended.code:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise LabError(f"the run that was to be recorded ended by {ended.kind} {ended.code}: {last}")
    recording = Recording(order.directory, order)
    scratch = Path(order.directory) / "replayed"
    scratch.mkdir()
    try:
        require_same(recording.trace(), Path(order.directory), scratch, labs_own=is_labs_own)
    finally:
        shutil.rmtree(scratch)
    return recording
