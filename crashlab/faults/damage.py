"""Damage to the files of an ended writer: a flipped bit, a truncation, a deleted sidecar. Interference.

For the lab's controls, and for programs that promise to notice. Nothing must survive by SQLite's own
promise; what a program promises (to refuse a damaged file, say) stands in its contract. It fired if the
file was there and its bytes changed.
"""

import os
from pathlib import Path

from crashlab.errors import UsageError, did_you_mean
from crashlab.faults.base import FaultBase
from crashlab.faults.firing import Firing, describe_end, log_says_fired
from crashlab.faults.kill import SIGKILL, format_moment, parse_moment
from crashlab.faults.text import FaultText, split_fault
from crashlab.model.contract import FaultClass
from crashlab.model.history import Ended, EndKind, History
from crashlab.writers.order import Action, Trigger

FILES = {"main": "", "wal": "-wal", "shm": "-shm", "journal": "-journal"}
OPERATIONS = ("flip", "truncate", "delete")
_WAL_HEADER, _FRAME_HEADER = 32, 24


class Damage(FaultBase, frozen=True):
    """`damage@main.page#3+17 bit=4`, `damage@wal.frame#2 bit=0`, `damage@wal+1000 op=truncate after=ack#20`.

    `unit` is page (main) or frame (wal), counted from 1, or empty for an offset from the file's start.
    `after` is a crash point at which the writer is killed first; without it the writer runs to its end.
    """

    file: str
    unit: str = ""
    n: int = 1
    offset: int = 0
    op: str = "flip"
    bit: int = 0
    after: str = ""

    @classmethod
    def parse(cls, text: FaultText) -> "Damage":
        """Parse the options of a damage."""
        text.allow("op", "bit", "after")
        file, _, unit = text.selector.partition(".")
        if file not in FILES:
            raise UsageError(
                f"fault {text.source!r}: unknown file {file!r}; known: {', '.join(FILES)}{did_you_mean(file, FILES)}"
            )
        if unit not in {"main": ("", "page"), "wal": ("", "frame")}.get(file, ("",)):
            raise UsageError(f"fault {text.source!r}: {file} has no {unit!r}; use main.page#n, wal.frame#n or +bytes")
        after = text.options.get("after", "")
        if after:
            after = format_moment(*parse_moment(split_fault(f"kill@{after}")))
        op = text.choice("op", OPERATIONS, "flip")
        if text.n is not None and not unit:
            raise UsageError(f"fault {text.source!r}: #{text.n} of what? use main.page#n, wal.frame#n or +bytes")
        n = 1 if text.n is None else text.n
        if n < 1:
            raise UsageError(f"fault {text.source!r}: #{n}, expected #1 or more")
        return cls(file, unit, n, text.offset or 0, op, text.number("bit", 0, low=0, high=7), after)

    def __str__(self) -> str:
        unit = f".{self.unit}#{self.n}" if self.unit else ""
        offset = f"+{self.offset}" if self.offset else ""
        op = "" if self.op == "flip" else f" op={self.op}"
        bit = f" bit={self.bit}" if self.bit else ""
        after = f" after={self.after}" if self.after else ""
        return f"damage@{self.file}{unit}{offset}{op}{bit}{after}"

    @property
    def fault_class(self) -> FaultClass:
        """Interference with files."""
        return FaultClass.INTERFERENCE

    def trigger(self) -> Trigger | None:
        """The kill before the damage, if one is asked for."""
        if not self.after:
            return None
        moment, phase, n = parse_moment(split_fault(f"kill@{self.after}"))
        return Trigger(moment, Action.KILL, phase, n)

    def apply(self, database: Path) -> str:
        """Damage the file of an ended writer; return what was done, '' if there was nothing to damage."""
        path = Path(f"{database}{FILES[self.file]}")
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return ""
        if self.op == "delete":
            path.unlink()
            return f"deleted {path.name} ({size} bytes)"
        with path.open("r+b") as file:
            at = self._position(file.read(_WAL_HEADER))
            if at >= size:
                return ""
            if self.op == "truncate":
                file.truncate(at)
                return f"truncated {path.name} from {size} to {at} bytes"
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ (1 << self.bit)]))
            file.flush()
            os.fsync(file.fileno())
        return f"flipped bit {self.bit} of byte {at} of {path.name}"

    def _position(self, head: bytes) -> int:
        if self.unit == "page":
            page_size = int.from_bytes(head[16:18], "big")
            return (self.n - 1) * (65536 if page_size == 1 else page_size) + self.offset
        if self.unit == "frame":
            frame = int.from_bytes(head[8:12], "big") + _FRAME_HEADER
            return _WAL_HEADER + (self.n - 1) * frame + self.offset
        return self.offset

    def fired(self, ended: Ended, history: History, applied: str) -> Firing:
        """The writer ended as planned and bytes were changed."""
        killed = ended.kind is EndKind.SIGNALLED and ended.code == SIGKILL and log_says_fired(history)
        clean = ended.kind is EndKind.EXITED and ended.code == 0
        if not (killed if self.after else clean):
            return Firing(fired=False, how=f"the files were not as planned: the writer {describe_end(ended)}")
        return Firing(fired=bool(applied), how=applied or f"there was nothing to damage at {self}")
