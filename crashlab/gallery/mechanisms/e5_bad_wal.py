"""E5: a bad byte in the WAL: recovery ends at it, and everything behind is silently not there."""

from pathlib import Path

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.mechanisms._bytes import cut, flip
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.checksum import FRAME_HEADER
from crashlab.sqlite.wal import Wal, parse_wal

LINKS = (
    "https://avi.im/blag/2025/sqlite-wal-checksum",
    "https://sqlite.org/walformat.html",
    "https://sqlite.org/fileformat2.html#walformat",
)
ADVICE = (
    "integrity_check cannot see it: compare the last rows with what was acknowledged elsewhere",
    "keep a copy of all three files before anything opens them; frames behind the bad one can be read by hand",
    "checkpoint often: what is in the main file no longer depends on the WAL's bytes",
)
_PICTURE = {
    "rows.lost": "suffix",
    "rows.unacked": "none",
    "rows.changed": "none",
    "open.error": "none",
    "quick_check": "ok",
    "integrity_check": "ok",
    "main": "SQLite database",
}
_CLEAN = {**CLEAN, "wal": "commits", "wal.end": "end of file", "shm.frames": "equal"}
_SALT_OFFSET = 16


def _left_by_a_kill(stage: Stage) -> tuple[Path, Wal]:
    """Rows in the main file, more of them in a WAL, and nobody who has it open."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "pre", 5 + stage.rng("pre").randrange(5))
    writer.close()
    writer.open(str(stage.main), "journal_mode=WAL", "synchronous=FULL")
    stage.insert(writer, "post", 10 + stage.rng("post").randrange(20))
    writer.kill()
    stage.step("W commits rows, synced and acknowledged, and is killed; the last ones are in the WAL")
    path = stage.main.with_name(f"{stage.main.name}-wal")
    return path, parse_wal(path.read_bytes())


def middle(stage: Stage) -> None:
    """One bit of a page in the middle."""
    path, wal = _left_by_a_kill(stage)
    rng = stage.rng("bit")
    frame = rng.randrange(wal.commits[0], wal.committed - 1)
    within, bit = rng.randrange(wal.page_size), rng.randrange(8)
    if not stage.control:
        flip(path, wal.offset(frame) + FRAME_HEADER + within, bit)
        stage.step(f"bit {bit} of byte {within} of the page in frame {frame + 1} of {wal.committed} flips")


def torn(stage: Stage) -> None:
    """The last frame has lost its end."""
    path, _wal = _left_by_a_kill(stage)
    lost = 512 * (1 + stage.rng("sectors").randrange(7))
    if not stage.control:
        cut(path, lost)
        stage.step(f"the last {lost} bytes of the WAL are gone: its last frame is torn")


def salt(stage: Stage) -> None:
    """One bit of the header."""
    path, _wal = _left_by_a_kill(stage)
    rng = stage.rng("bit")
    within, bit = rng.randrange(8), rng.randrange(8)
    if not stage.control:
        flip(path, _SALT_OFFSET + within, bit)
        stage.step(f"bit {bit} of byte {within} of the salts in the WAL's header flips")


EXHIBITS = (
    Exhibit(
        id="e5",
        title="one flipped bit in the middle of the WAL: all later commits are silently gone",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "Each frame's checksum continues the one before. At the first that is wrong recovery stops and takes the "
            "rest for the remains of an earlier round: no error, no message, and the next checkpoint makes it final."
        ),
        control="the bit stays as it is",
        run=middle,
        picture={**_PICTURE, "wal": "broken", "wal.end": "checksum", "shm.frames": "ahead"},
        clean=_CLEAN,
        symptom="after a restart everything since some moment is missing; both checks say ok, no error anywhere",
        advice=ADVICE,
        mistaken_for=("synchronous=NORMAL", "the kill", "a WAL that somebody deleted"),
        links=LINKS,
    ),
    Exhibit(
        id="e5-torn",
        title="a torn last frame: the last commit is silently gone",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A copy that was cut off, a full disk under a copy, or a disk that lost the end of a write leaves the "
            "last frame incomplete. Recovery leaves it out, and with it the commit that it ended."
        ),
        control="the last frame is whole",
        run=torn,
        picture={**_PICTURE, "wal": "commits", "wal.end": "partial frame", "shm.frames": "ahead"},
        clean=_CLEAN,
        symptom="one acknowledged transaction, the last, is missing; both checks say ok",
        advice=ADVICE,
        mistaken_for=("a commit that was never made", "the kill"),
        links=LINKS,
    ),
    Exhibit(
        id="e5-salt",
        title="one flipped bit in the WAL's header: the whole WAL is silently ignored",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "The header has a checksum of its own. If it is wrong, recovery takes the WAL for an empty one, and the "
            "next writer begins it anew."
        ),
        control="the bit stays as it is",
        run=salt,
        picture={**_PICTURE, "wal": "header", "wal.end": "header invalid", "shm.frames": "other"},
        clean=_CLEAN,
        symptom="everything since the last checkpoint is missing, with a full WAL beside it; both checks say ok",
        advice=ADVICE,
        mistaken_for=("a WAL that somebody deleted", "a restored backup"),
        links=LINKS,
    ),
)
