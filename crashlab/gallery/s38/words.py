"""S38 in plain words: sentences made from what was found, for somebody who is tired and has to decide."""

import shlex

from crashlab.faults.hangup import HangUpFault
from crashlab.faults.text import split_fault
from crashlab.gallery.s38.result import (
    COPIED_WHOLE,
    MAIN_ALONE,
    RESTARTED,
    WAL_DELETED,
    Fate,
    OnDisk,
    Reproduction,
    Run,
)
from crashlab.gallery.s38.tour import TourRow
from crashlab.model.finding import Verdict
from crashlab.sqlite.wal import ChainEnd
from crashlab.writers.order import OnHangUp

KINDS = {
    OnHangUp.DEFAULT: "does nothing about the hang-up",
    OnHangUp.IGNORE: "ignores the hang-up and stays silent",
    OnHangUp.PRINT: "ignores the hang-up and prints on",
    OnHangUp.HANDLE: "handles the hang-up by running its close()",
}
_CHAIN_ENDS = {
    ChainEnd.END_OF_FILE: "the file ends there",
    ChainEnd.PARTIAL_FRAME: "the file ends in the middle of a frame",
    ChainEnd.SALT: "what follows is left from an earlier round of the log (other salt)",
    ChainEnd.PAGE_ZERO: "the next frame names page 0, which does not exist",
    ChainEnd.CHECKSUM: "the next frame's checksum does not fit",
    ChainEnd.HEADER: "the log's header is invalid, so SQLite ignores the file",
    ChainEnd.EMPTY: "the file has no bytes",
}
FIELD = (
    "Stop every program that has the database open, then copy main, -wal and -shm together before anything "
    "opens them: the first opening replays the log, and may delete it.",
    "Never delete or move a -wal (or -shm) to unlock or tidy up, and never put a restored main file beside an "
    "old -wal. SQLite removes the -wal itself after a clean close.",
    "Then start the program as usual. After the death of a process every commit that returned is in the files, "
    "and the restart finds it.",
    "Back up through SQLite, never by copying the main file: sqlite3 app.db \"VACUUM INTO 'copy.db'\"",
    "Count rows against what the program acknowledged. quick_check says 'ok' on a database whose last "
    "commits are missing: it checks structure, not history.",
    "If the file is malformed, look further than the close: a second opener over a network share, "
    "a deleted or mismatched -wal, a raw copy over a live file, a power loss.",
)
NOT_SAID = (
    "This was the death of a process: the operating system lived on and kept every written byte. It says "
    "nothing about a power loss or a crash of the system, where the last commits under synchronous=NORMAL may go."
)


def opening(run: Run) -> str:
    """Say what was done to the writer and how it ended."""
    fault = HangUpFault.parse(split_fault(run.plan.fault))
    text = (
        f"A writer that {KINDS[fault.on]} ran on a real terminal. It committed {run.plan.rows} rows, one by one, and "
        f"had a transaction of {run.plan.batch} more open when the terminal was closed. "
    )
    if run.verdict in (Verdict.MISSED, Verdict.ERROR):
        return f"{text}Nothing was reproduced: {run.how}."
    grace = f" ({fault.grace_us / 1e6:g} s)" if "grace" in run.how else ""
    return f"{text}It was running then, and was {run.how}{grace}."


def verdict_of_the_tour(rows: tuple[TourRow, ...]) -> str:
    """Say which candidates left a malformed file, which did not, and how often they were tried."""
    can = [row.exhibit for row in rows if row.malformed]
    cannot = [row.exhibit for row in rows if row.runs and not row.malformed]
    runs = min((row.runs for row in rows if row.runs), default=0)
    return (
        f"A malformed file came from {', '.join(can) or 'none of them'}; it never came from "
        f"{', '.join(cannot) or 'the others'} ({runs} run{'s' if runs != 1 else ''} each, on this machine). "
        "'crashlab repro ID' tells each one's story beside its control."
    )


def in_short(run: Run) -> str:
    """Say in one line what was lost by what."""
    close, deleted, alone = run.fate(RESTARTED), run.fate(WAL_DELETED), run.fate(MAIN_ALONE)
    return (
        f"In short: closing the console lost {close.lost} of {close.acked} committed rows. Deleting the -wal "
        f"afterwards lost {deleted.lost}; copying the main file alone lost {alone.lost}."
    )


def log_lines(found: OnDisk) -> tuple[str, ...]:
    """Say what is in the WAL, why it ends where it does, and what only the WAL has."""
    if not any(name.endswith("-wal") for name in found.sizes):
        return ("There is no WAL: the writer closed the database before it ended. Nothing was exposed.",)
    lines = [
        f"{found.frames_committed} frames of {found.commits} commits can be read, then {found.frames_uncommitted} of "
        f"the transaction that never committed. There the log ends: {_CHAIN_ENDS[ChainEnd(found.chain_end)]}."
    ]
    if found.frames_unread:
        lines.append(
            f"Behind it {found.frames_unread} more frames of the open transaction, which SQLite rewrites in place and "
            "gives their checksums only at the commit. Nothing committed is among them."
        )
    if found.frames_old:
        lines.append(
            f"The last {found.frames_old} frames in the file are left from an earlier round and are in the main file "
            "already: the size of a -wal does not tell how much is in it."
        )
    lines.append(
        f"Only in the WAL: {found.exposed_rows} committed rows ({found.exposed_frames} frames of {found.exposed_pages} "
        f"pages, {found.exposed_commits} commits, the oldest {found.exposed_s * 1000:.0f} ms before the end). "
        f"The main file alone: {_alone(found)}."
    )
    return tuple(lines)


def conclusions(run: Run) -> tuple[tuple[str, str], ...]:
    """Say which treatment lost rows and which did not: (fault class, sentence), in the order of the fates."""
    found = run.on_disk
    if found is None:
        return ()
    close, copied = run.fate(RESTARTED), run.fate(COPIED_WHOLE)
    deleted, alone = run.fate(WAL_DELETED), run.fate(MAIN_ALONE)
    return (
        (close.fault, _about_close(run, close)),
        (copied.fault, f"A copy of all the files, taken before anything opened them, {_brought_back(copied, alone)}."),
        (deleted.fault, _about_loss("Deleting the -wal after the close", deleted)),
        (alone.fault, _about_alone(alone, deleted)),
    )


def summary(result: Reproduction) -> str:
    """Say k of n, and what the close alone lost in all of them."""
    fired = [run for run in result.runs if run.fates]
    passed = result.count(Verdict.PASS)
    text = f"Reproduced in {passed} of {result.wanted} runs"
    others = [
        f"{result.count(verdict)} {verdict.value}"
        for verdict in (Verdict.FAIL, Verdict.MISSED, Verdict.ERROR)
        if result.count(verdict)
    ]
    text += f" ({', '.join(others)})" if others else ""
    if len(fired) > 1:
        closes = [run.fate(RESTARTED) for run in fired]
        rows = sum(fate.acked for fate in closes)
        lost = sum(fate.lost for fate in closes)
        bad = sum(bool(run.problems) for run in fired)
        deleted = sum(run.fate(WAL_DELETED).lost for run in fired)
        bound = f" (95 % upper bound {1 - 0.05 ** (1 / len(fired)):.1%} of closes)" if not bad else ""
        text += f". Of {rows} acked rows the closes lost {lost}{bound}; deleting the -wal afterwards lost {deleted}"
    return f"{text}." + (f" Stopped early: {result.stopped}." if result.stopped else "")


def again(result: Reproduction) -> tuple[str, ...]:
    """Return the commands that run it again: the same run, twenty of them, and the record as JSON."""
    plan = result.shown.plan
    fault = HangUpFault.parse(split_fault(plan.fault))
    command = ["crashlab", "repro", result.exhibit, "--seed", str(plan.seed)]
    if fault.on is not OnHangUp.DEFAULT:
        command += ["--on", fault.on.value]
    if fault.grace_us != 5_000_000:
        command += ["--grace", f"{fault.grace_us / 1e6:g}"]
    if plan.close_s:
        command += ["--close-takes", f"{plan.close_s:g}"]
    if plan.auto_checkpoint != 1000:
        command += ["--auto-checkpoint", str(plan.auto_checkpoint)]
    line = shlex.join(command)
    return line, f"{line} --runs 20", f"{line} --format json"


def _about_close(run: Run, close: Fate) -> str:
    if run.problems:
        return "This contradicts what SQLite promises when a process dies: " + "; ".join(run.problems) + "."
    text = f"The close of the terminal lost none of {close.acked} committed rows, and the database is sound. "
    text += f"Gone is what was never committed: the {run.plan.batch} rows of the open transaction"
    if not close.ended_mark:
        return f"{text}, and the mark 'session ended', which only close() writes."
    return f"{text}. Its close() ran to the end, so even the mark 'session ended' is there."


def _about_loss(deed: str, fate: Fate) -> str:
    if fate.error:
        return f"{deed} left files that the program can't read: {fate.error}."
    if not fate.lost:
        return f"{deed} lost nothing, since nothing was in the WAL alone."
    if not fate.sound:
        return f"{deed} lost {fate.lost} committed rows and damaged the database: {_first_complaint(fate)}."
    span = f"{fate.lost_first} to {fate.lost_last}" + (", with gaps" if fate.lost_gap else "")
    silent = "quick_check and integrity_check still say ok: they cannot see rows that are missing"
    if not fate.found:
        silent = "the program made its tables anew, and both checks say ok on the empty database"
    return f"{deed} lost {fate.lost} committed rows (number {span}), and nothing complains: {silent}."


def _about_alone(alone: Fate, deleted: Fate) -> str:
    deed = "Copying the main file without its -wal"
    same = (alone.lost, alone.lost_first, alone.sound) == (deleted.lost, deleted.lost_first, deleted.sound)
    if same and alone.lost and alone.sound:
        return f"{deed} lost the same {alone.lost} rows, and as silently."
    return _about_loss(deed, alone)


def _brought_back(fate: Fate, alone: Fate) -> str:
    if fate.error or not fate.sound:
        return f"is damaged: {_first_complaint(fate)}"
    if fate.lost:
        return f"lacks {fate.lost} of {fate.acked} committed rows"
    moral = ": the copy was no problem, leaving out the -wal is" if alone.lost else ""
    return f"brought back all {fate.found} rows{moral}"


def _first_complaint(fate: Fate) -> str:
    return fate.error or next(iter((*fate.quick_check, *fate.integrity_check)), "rows fail their own checksum")


def _alone(found: OnDisk) -> str:
    match found.main_alone:
        case "readable":
            return f"readable, {found.main_alone_rows} rows"
        case "no-schema":
            return "readable, but without a single table"
        case other:
            return other
