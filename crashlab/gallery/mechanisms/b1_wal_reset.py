"""B1: the WAL-reset bug. A checkpoint that read the old end of the WAL marks frames of the new WAL as copied."""

from collections.abc import Callable
from typing import Any

from crashlab.errors import LabError
from crashlab.gallery.exhibit import CLEAN, WAL_RESET, Exhibit, Features, Need
from crashlab.gallery.mechanisms._wal_reset import BEAT, PASSIVE, Cast, checkpoint_while, hold, release
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def _max_frame(stage: Stage, done: str) -> int:
    index = stage.step(done).index
    if index is None or index.header is None:
        raise LabError("there is no readable wal-index")
    return index.header.max_frame


def _race(stage: Stage, *, processes: bool = False, held: bool = False, pre: int = 1, last: int = 120) -> Cast:
    """Up to the moment at which the wal-index claims more frames copied than there are."""
    stage.observe("victim.error", "none")
    cast = Cast(stage, processes=processes)
    cast.open("A")
    actor, on = cast.of["A"]
    stage.create(actor, on)
    actor.sql("CREATE TABLE heart(beat INTEGER)", on=on)
    actor.sql("INSERT INTO heart VALUES(0)", on=on)
    cast.insert("A", "pre", pre)
    if pre > 1:
        cast.sql("A", "PRAGMA wal_checkpoint(TRUNCATE)")
        cast.insert("A", "first", 1)
    for name in "BCD":
        cast.open(name)
    cast.insert("A", "A", last + stage.rng("A").randrange(10))
    cast.sql("A", PASSIVE)
    cast.end_read = _max_frame(stage, "A commits and checkpoints all of it: the next writer may start the WAL anew")
    checkpointer, on = cast.of["B"]
    if stage.control:
        checkpointer.sql(PASSIVE, on=on)
        cast.sql("C", BEAT)
        stage.step("B's checkpoint runs to its end; then C commits, and the WAL starts anew")
    elif held:
        checkpointer.call(hold, on)
        cast.sql("C", BEAT)
        stage.step("B's checkpoint has read where the WAL ends, and waits; C commits, and the WAL starts anew")
        checkpointer.call(release)
        stage.step("B's checkpoint goes on")
    else:
        checkpointer.call(checkpoint_while, on, BEAT, cast.of["C"][1])
        stage.step("B checkpoints; once it has read where the WAL ends, C commits, and the WAL starts anew")
    return cast


def _small_commits(stage: Stage, cast: Cast) -> int:
    """D commits rows one by one; does another connection see them? Returns mxFrame."""
    cast.insert("D", "D", 3 + stage.rng("D").randrange(3), together=False)
    actor, on = cast.of["A"]
    seen = actor.sql("SELECT count(*) FROM t WHERE who LIKE 'D%'", on=on)[0][0]
    stage.observe("reader.sees_new_rows", "yes" if seen else "no")
    return _max_frame(stage, f"D commits rows, each acknowledged; A sees {seen} of them")


def _heartbeats(stage: Stage, cast: Cast, until: int) -> None:
    """A and C commit one frame each until there are so many: what comes next begins at a known frame."""
    left = until - _small_commits(stage, cast)
    if left < 0:
        raise LabError(f"D's commits end behind frame {until}")
    for number in range(left):
        cast.sql("AC"[number % 2], BEAT)


def lost(stage: Stage, *, processes: bool = False, held: bool = False) -> None:
    """Small commits vanish, each whole: no check sees it."""
    cast = _race(stage, processes=processes, held=held)
    _heartbeats(stage, cast, cast.end_read)
    for number in range(9 + stage.rng("late").randrange(9)):
        cast.insert("ACD"[number % 3], f"late{number}-", 1)
    stage.step("A, C and D commit on")
    cast.end()


def index(stage: Stage) -> None:
    """The frames of one small commit lie on both sides of the false mark: table and index disagree."""
    cast = _race(stage)
    _heartbeats(stage, cast, cast.end_read - 1)
    # One of the first rows: its index entry is in a leaf, behind the table's page in the file.
    key, value = stage.rng("row").choice([row for row in stage.ledger.acked.items() if row[0].startswith("A")][:6])
    if cast.sql("D", f"UPDATE t SET v = upper(v) WHERE who = '{key}'"):
        stage.ledger.ack(key, value.upper())
    stage.step("D changes a row, acknowledged: one frame for the table, one for the index")
    for number in range(3 + stage.rng("late").randrange(3)):
        cast.insert("AC"[number % 2], f"late{number}-", 1)
    cast.end()


def threads(stage: Stage) -> None:
    """B's checkpoint in one thread, C's commit in another."""
    lost(stage, held=True)


def processes(stage: Stage) -> None:
    """A, B, C and D are four processes."""
    lost(stage, processes=True, held=True)


def straddle(stage: Stage) -> None:
    """One large transaction over the false mark."""
    cast = _race(stage)
    cast.insert("D", "D", 380 + stage.rng("D").randrange(40))
    stage.step("D commits one large transaction, acknowledged")
    for number in range(6):
        cast.insert("ACD"[number % 3], f"late{number}-", 1)
    cast.end()


def torn(stage: Stage) -> None:
    """One transaction that rewrites pages on both sides of the false mark is cut in two."""
    cast = _race(stage, pre=300, last=20)
    if cast.sql("D", "UPDATE t SET v = 'y' || v"):
        for key, value in stage.ledger.acked.items():
            stage.ledger.ack(key, f"y{value}")
    stage.step("D rewrites all rows in one transaction, acknowledged")
    cast.end()


def caught(stage: Stage) -> None:
    """All are killed before the WAL starts anew: the frames are still there."""
    cast = _race(stage, processes=True, held=True)
    _small_commits(stage, cast)
    for actor, _ in cast.of.values():
        actor.kill()
    stage.step("all four processes are killed: the next opener builds the wal-index from the WAL itself")


HAPPENS = (
    "A checkpoint reads where the WAL ends. Before it uses what it read, another connection commits; the WAL was "
    "copied wholly, so this commit starts it anew. The checkpoint then marks frames of the new WAL as copied, up to "
    "the old end. "
)
CONTROL = "the other connection commits after the checkpoint has ended, not inside it"
ADVICE = (
    "upgrade SQLite in every program that opens the file, command-line tools and plug-ins too: 3.51.3 or later",
    "until then wal_autocheckpoint=0 everywhere, and one connection that checkpoints with TRUNCATE and a busy timeout: "
    "it takes the writer's lock first",
    "integrity_check cannot see lost commits: compare rows with a list of what was acked",
)
LINKS = (
    "https://sqlite.org/wal.html#walresetbug",
    "https://tailscale.com/blog/sqlite-wal-reset-bug",
    "https://antithesis.com/blog/2026/wal-reset-bug/",
    "https://github.com/ruvnet/ruflo/issues/2736",
)
_RACE = {"live.backfill": "impossible", "live.unlinked": "none", "live.main_locks": "held", "victim.error": "none"}
_CLEAN = {**CLEAN, "rows.changed": "none", "live.backfill": "possible", "live.unlinked": "none", "victim.error": "none"}
_SILENT = {**_RACE, "rows.lost": "gap", "open.error": "none", "quick_check": "ok", "integrity_check": "ok"}


def _exhibit(
    name: str, title: str, happens: str, run: Callable[[Stage], None], picture: Features, symptom: str, **more: Any
) -> Exhibit:
    fields = {"advice": ADVICE, "clean": _CLEAN, "protected": _CLEAN, **more}
    return Exhibit(
        id=f"b1-{name}",
        title=title,
        fault_class=FaultClass.NONE,
        happens=HAPPENS + happens,
        control=CONTROL,
        run=run,
        picture=picture,
        symptom=symptom,
        affected=WAL_RESET,
        mistaken_for=("a kill", "synchronous=NORMAL", "lock errors that the application swallowed"),
        links=LINKS,
        needs=(Need.FORK, Need.PROC, Need.TAP),
        **fields,
    )


_GONE = "Commits in those frames are neither read nor copied, and the next new start of the WAL writes over them."
_SYMPTOM = "some transactions in the middle are missing, older and newer ones are there; both checks say ok; no error"

EXHIBITS = (
    _exhibit("lost", "the WAL-reset bug: small commits vanish", _GONE, lost, _SILENT, _SYMPTOM),
    _exhibit(
        "threads",
        "the WAL-reset bug between two threads: small commits vanish",
        _GONE + " Here the two are connections of two threads.",
        threads,
        _SILENT,
        _SYMPTOM,
    ),
    _exhibit(
        "processes",
        "the WAL-reset bug between two processes: small commits vanish",
        _GONE + " Here the two are processes.",
        processes,
        _SILENT,
        _SYMPTOM,
    ),
    _exhibit(
        "straddle",
        "the WAL-reset bug under a large transaction: hundreds of rows vanish at once",
        "A transaction that begins before the old end and goes on behind it is read and copied in part.",
        straddle,
        _SILENT,
        "a whole large transaction is missing, later ones are there; both checks say ok",
    ),
    _exhibit(
        "index",
        "the WAL-reset bug cuts a small commit: the index disagrees with the table",
        "A commit with one frame before the old end and one behind it is read and copied in half.",
        index,
        {**_RACE, "rows.lost": "gap", "rows.changed": "some", "quick_check": "ok", "integrity_check": "fails"},
        "integrity_check says 'row missing from index', quick_check says ok; transactions are missing in the middle",
    ),
    _exhibit(
        "torn",
        "the WAL-reset bug tears a transaction: the file is malformed",
        "A transaction that rewrites pages on both sides of the old end is read and copied in part.",
        torn,
        {**_RACE, "rows.lost": "none", "rows.changed": "some", "quick_check": "fails", "integrity_check": "fails"},
        "half of a transaction is there, the checks fail ('Rowid out of order', 'malformed'), and nothing was killed",
    ),
    _exhibit(
        "caught",
        "the WAL-reset bug caught before the next new start of the WAL: nothing is lost yet",
        "As long as the WAL has not started anew once more, the frames are in it, and recovery reads them all.",
        caught,
        {**_RACE, "reader.sees_new_rows": "no", "shm": "impossible", "wal": "commits", "rows.lost": "none"},
        "acked rows cannot be seen by anyone; nBackfill (offset 96 of -shm) is above mxFrame (offset 16)",
        advice=(
            "copy all three files now; then kill every opener: an orderly close would delete the WAL",
            "open a copy: recovery reads every frame of the WAL",
            *ADVICE[:2],
        ),
        clean={**_CLEAN, "reader.sees_new_rows": "yes", "shm": "index", "wal": "commits"},
        protected={**_CLEAN, "reader.sees_new_rows": "yes", "shm": "index", "wal": "commits"},
    ),
)
