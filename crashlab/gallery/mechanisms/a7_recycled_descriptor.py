"""A7: a late write to a closed descriptor lands in the database, which got the same number."""

import os
from pathlib import Path

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass


def start_logging(actor: Self, path: str) -> int:
    """Open a log file and keep its number, as a library does."""
    actor.state["log"] = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    return int(actor.state["log"])


def close_log(actor: Self) -> None:
    """Somebody else in the process closes the number."""
    os.close(actor.state["log"])


def log(actor: Self, line: str) -> str:
    """The library writes a line; returns the name of the file that it went into."""
    os.write(actor.state["log"], line.encode())
    return Path(f"/proc/self/fd/{actor.state['log']}").readlink().name


def run(stage: Stage) -> None:
    """A log line is written over the header of the main file."""
    maker = stage.opener("M")
    stage.create(maker)
    stage.insert(maker, "pre", 20 + stage.rng("pre").randrange(40))
    maker.close()
    stage.step("M makes the database, commits rows and closes")
    victim = stage.actor("W")
    number = victim.call(start_logging, str(stage.directory / "app.log"))
    if not stage.control:
        victim.call(close_log)
    closed = "" if stage.control else "; another part of the program closes that descriptor"
    stage.note(f"in W a library opens a log file, descriptor {number}{closed}")
    victim.open(str(stage.main), "journal_mode=WAL")
    last = list(stage.ledger.acked)[-1]
    victim.sql("UPDATE t SET who = 'renamed' WHERE who = ?", (last,))  # page 1 in the WAL would heal the header
    stage.ledger.ack("renamed", stage.ledger.acked.pop(last))
    stage.step("W opens the database and commits a change")
    words = stage.rng("line").randrange(10**6)
    name = victim.call(log, f"2024-05-17 08:31:02,{words:06} WARNING retrying connection {words} in 5 seconds\n")
    stage.observe("log.went_into", "the database" if name == stage.main.name else "the log")
    stage.step(f"the library writes a line of text to descriptor {number}: it goes into {name}")
    victim.kill()
    stage.step("W ends; the next program opens the file")


EXHIBITS = (
    Exhibit(
        id="a7",
        title="a stray write through a recycled file descriptor lands in the database",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "A part of a program keeps the number of a descriptor that another part has closed. SQLite's open gets "
            "that number next. The late write, a log line or a TLS record, goes to the descriptor's own offset, which "
            "SQLite never moves: the start of the file, over the header."
        ),
        control="nobody closes the log's descriptor",
        run=run,
        picture={
            "log.went_into": "the database",
            "open.error": "SQLITE_NOTADB",
            "quick_check": "fails",
            "integrity_check": "fails",
            "rows.lost": "all",
            "main": "not a database",
            "wal": "commits",
            "live.unlinked": "none",
            "live.main_locks": "held",
        },
        clean={**CLEAN, "log.went_into": "the log", "main": "SQLite database"},
        symptom="'file is not a database'; the file begins with a line of a log, or with other bytes that are text",
        advice=(
            "never close a descriptor by number that another part of the program opened, nor 0, 1 and 2",
            "look at the first bytes (in another process, or on a copy): text there names the writer",
            "keep the file: all but the overwritten bytes is as it was, and a copy of the header can be put back",
        ),
        mistaken_for=("the disk", "encryption", "the kill"),
        links=(
            "https://sqlite.org/howtocorrupt.html#_continuing_to_use_a_file_descriptor_after_it_has_been_closed",
            "https://sqlite.org/howtocorrupt.html#_file_overwrite_by_a_rogue_thread_or_process",
        ),
    ),
)
