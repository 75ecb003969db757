"""D5: looking at the files of a crash with SQLite changes them: it recovers, checkpoints, and deletes the WAL."""

from crashlab.errors import LabError
from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.ending import next_opener
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.model.contract import FaultClass
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.wal import parse_wal

NO_ROWS = False


def run(stage: Stage) -> None:
    """A frame in the middle of the WAL is bad; what lies behind can be read from the bytes, until SQLite looks."""
    writer = stage.opener("W", *WAL, "wal_autocheckpoint=0")
    stage.create(writer)
    stage.insert(writer, "W", 40 + stage.rng("W").randrange(40))
    stage.step("W commits rows, each acknowledged: they are in the WAL")
    writer.kill()
    triplet = Triplet.of(stage.main)
    data = bytearray(triplet.wal.read_bytes())
    wal = parse_wal(bytes(data))
    if wal.valid < 20:
        raise LabError(f"{wal.valid} frames in the WAL, expected 20 or more")
    data[wal.offset(wal.valid // 2) + 100] ^= 1
    triplet.wal.write_bytes(data)
    stage.step("W is killed, and one bit in the middle of the WAL flips")
    if stage.control:
        directory = stage.directory / "copy"
        directory.mkdir()
        triplet = triplet.copy_into(directory)
    report = stage.actor("Y").call(next_opener, str(triplet.main), NO_ROWS)
    stage.observe("looker.integrity_check", "ok" if report["integrity_check"] == ["ok"] else "fails")
    what = "a copy of all three files" if stage.control else "the files"
    stage.step(f"Y runs integrity_check on {what} with SQLite, and closes")


_LOOKS_WELL = {"looker.integrity_check": "ok", "rows.lost": "suffix", "quick_check": "ok", "integrity_check": "ok"}

EXHIBITS = (
    Exhibit(
        id="d5",
        title="files of a crash opened with SQLite: the evidence is gone, and with it what could be salvaged",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "The first opening after a crash recovers the WAL up to its first bad frame, and the close checkpoints and "
            "deletes it. Whole frames behind the bad one, which could have been read from the bytes, go with it."
        ),
        control="a copy of all three files is opened instead",
        run=run,
        picture={**_LOOKS_WELL, "wal": "missing", "shm": "missing"},
        clean={**CLEAN, **_LOOKS_WELL, "wal": "broken", "wal.end": "checksum"},
        symptom="integrity_check said ok; the -wal that held the missing rows no longer exists",
        advice=(
            "copy main file, -wal, -shm and -journal before any SQLite touches them; work on a second copy",
            "that goes for '.tables' in a shell, for viewers, and for the program's own start-up",
            "count the frames behind the break on the copy: same salts, whole pages",
        ),
        mistaken_for=("the crash", "the recovery"),
        links=("https://github.com/NousResearch/hermes-agent/issues/100368", "https://sqlite.org/walformat.html"),
    ),
)
