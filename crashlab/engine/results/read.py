"""Reading records: one event a line, as a stream, in bounded memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from crashlab.errors import RecordError
from crashlab.model.event import FORMAT_VERSION, Event, EventKind
from crashlab.model.outcome import Outcome

RECORDS = "records.ndjson"
LINE_BYTES_MAX = 64 << 20
"""A longer line is no event: the whole file of a campaign of 10^6 trials is some 30 times that."""

_BUFFER_BYTES = 1 << 20
_SHOWN = 200

T = TypeVar("T")


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event as read: its `data` is decoded only when asked for, as the type that is asked for."""

    seq: int
    ns: int
    kind: str
    trial_id: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    format_version: int = FORMAT_VERSION


class Records:
    """The records of one run: iterate for its events, in the order of the file, as often as needed.

    `path` is the file, or the directory of a run that holds one. Only one line is in memory at a time. A last
    line without its newline was cut off by a kill of the lab or a full disk: it is left out, and `torn` (its
    bytes, else 0) tells once an iteration has come to the end; `whole` is then the length in bytes of what
    precedes it.

    Raises:
        RecordError: there is no such file, or it is none of ours. An iteration raises it for a line that is no
            event, or of a newer format; it names file and line.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = records_file(path)
        self.torn = 0
        self.whole = 0
        self._line = 0
        self._outcome = msgspec.json.Decoder(_OutcomeData).decode
        self._decoders: dict[Any, msgspec.json.Decoder[Any]] = {}

    def __iter__(self) -> Iterator[Record]:
        decode = msgspec.json.Decoder(Record).decode
        self.torn = self.whole = self._line = 0
        try:
            with open(self.path, "rb", buffering=_BUFFER_BYTES) as file:
                while line := file.readline(LINE_BYTES_MAX):
                    if not line.endswith(b"\n"):
                        self._end(line, file.read(1) != b"")
                        return
                    self._line += 1
                    try:
                        record = decode(line)
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        raise self._bad(line, str(error)) from None
                    if record.format_version != FORMAT_VERSION:
                        raise self._version(record.format_version)
                    self.whole += len(line)
                    yield record
        except OSError as error:
            raise RecordError(f"{self.path}: the records cannot be read ({error.strerror})") from None

    def events(self) -> Iterator[Event]:
        """Yield every event, its data as plain values."""
        for record in self:
            data = self.data(record, dict[str, Any])
            yield Event(record.seq, record.ns, record.kind, record.trial_id, data, record.format_version)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of every trial."""
        for record in self:
            if record.kind == EventKind.TRIAL_FINISHED:
                yield self.outcome(record)

    def outcome(self, record: Record) -> Outcome:
        """Return the outcome that a `trial-finished` record holds; call it during the iteration.

        Raises:
            RecordError: it holds none.
        """
        try:
            return self._outcome(record.data).outcome
        except msgspec.MsgspecError as error:
            raise self._bad(bytes(record.data), f"{record.kind} without an outcome: {error}") from None

    def data(self, record: Record, kind: type[T]) -> T:
        """Return a record's data as `kind`, any type that msgspec decodes; call it during the iteration.

        Raises:
            RecordError: it is none.
        """
        if kind not in self._decoders:
            self._decoders[kind] = msgspec.json.Decoder(kind)
        try:
            found: T = self._decoders[kind].decode(record.data)
        except msgspec.MsgspecError as error:
            raise self._bad(bytes(record.data), f"data of {record.kind}: {error}") from None
        return found

    def _end(self, line: bytes, longer: bool) -> None:
        """Deal with what has no newline: the last line, or no line at all."""
        if longer:
            self._line += 1
            raise self._bad(line, f"longer than {LINE_BYTES_MAX} bytes")
        if self._line == 0 and not line.lstrip().startswith(b"{"):
            raise self._foreign(line, "no JSON")
        self.torn = len(line)

    def _bad(self, line: bytes, why: str) -> RecordError:
        if self._line == 1:
            return self._foreign(line, why)
        return RecordError(f"{self.path}, line {self._line}: no event of a campaign ({why}): {_shown(line)}")

    def _foreign(self, line: bytes, why: str) -> RecordError:
        return RecordError(
            f"{self.path}: not the records of a campaign (line 1: {why}): {_shown(line)}; "
            f"expected a {RECORDS} that `run`, `gate` or the pytest plugin wrote, or its directory"
        )

    def _version(self, version: int) -> RecordError:
        return RecordError(
            f"{self.path}, line {self._line}: format version {version}, this crashlab reads up to "
            f"{FORMAT_VERSION}; upgrade crashlab to read it"
        )


class _OutcomeData(msgspec.Struct):
    outcome: Outcome


def records_file(path: str | os.PathLike[str]) -> Path:
    """Return the records file that `path` names: itself, or the one in the directory of a run.

    Raises:
        RecordError: there is none.
    """
    given = Path(path)
    file = given / RECORDS if given.is_dir() else given
    if file.is_file() or file.is_fifo():
        return file
    if given.is_dir():
        raise RecordError(f"{given}: no {RECORDS} in this directory; name a run's, such as .crashlab/runs/run-0001")
    if not file.exists():
        raise RecordError(f"{given}: no such file; name a {RECORDS}, or the directory of a run")
    raise RecordError(f"{given}: not a regular file; name a {RECORDS}, or the directory of a run")


def _shown(line: bytes) -> str:
    text = line[:_SHOWN].decode(errors="backslashreplace").rstrip("\n")
    return repr(text) + ("…" if len(line) > _SHOWN else "")
