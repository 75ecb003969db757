"""Oracle `sidecars`: the files beside the database are in a state that SQLite can leave.

The last connection to close checkpoints and deletes the WAL (https://sqlite.org/wal.html), so after a clean
close with nobody else connected a WAL with content is a sign that the program did not close what it opened.
Judged for no fault and process death only: an I/O error can keep the WAL, a power loss can bring it back.

Invariants:
    wal-after-clean-close: a `-wal` with content remained although nothing else was open.
    wal-index: the shared-memory index says something impossible (nBackfill beyond mxFrame, two
        generations); judged where the contract promises a well-formed file.
"""

from collections.abc import Iterator

from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding
from crashlab.oracles.evidence import EXAMPLES_MAX, lines, rows
from crashlab.oracles.view import View

WAL_AFTER_CLEAN_CLOSE = "wal-after-clean-close"
WAL_INDEX = "wal-index"
INVARIANTS = (WAL_AFTER_CLEAN_CLOSE, WAL_INDEX)


def judge(view: View) -> Iterator[Finding]:
    """Judge what remained beside the database, and the wal-index."""
    recovered = view.recovered
    problems = recovered.wal_index_problems
    if recovered.sidecars_after_clean_close and recovered.closed_cleanly and not recovered.other_connections:
        left = {
            name: size for name, size in recovered.sidecars_after_clean_close.items() if size and name.endswith("-wal")
        }
        if left and view.fault_class in (FaultClass.NONE, FaultClass.PROCESS_DEATH):
            name, size = next(iter(left.items()))
            yield view.finding(
                "sidecars",
                WAL_AFTER_CLEAN_CLOSE,
                f"{name} remained with {size} bytes after a clean close with no other connection open",
                sizes=dict(list(left.items())[:EXAMPLES_MAX]),
            )
    if problems and view.promise.well_formed:
        yield view.finding(
            "sidecars",
            WAL_INDEX,
            f"the wal-index is impossible ({rows(len(problems), 'problem')}) after {view.fault_class.value}: "
            f"{problems[0][:200]}",
            problems=len(problems),
            lines=lines(problems),
        )
