"""One crash state as a small plain value, with a text that parses back.

    kill@op=831            the process died when 831 operations were done; the disk has them all
    kill@op=831+512        and 512 bytes of the next one, a write
    power-loss@op=831 keep=0x1f
    power-loss@op=831 keep=0x1f torn=7:0x3,9:0x1 entries=0x2

For a power loss, what was synced at that moment is there. Of the pending writes and truncates, counted from 0
in order, those of the bits in `keep` are there wholly; those in `torn` have the sectors of their mask, and
no others (sectors of 512 bytes as they lie in the file, counted from the write's first); those in neither
are lost. `entries` has a bit for each pending create, delete or rename that happened.
"""

import re

import msgspec

from crashlab.errors import UsageError
from crashlab.states.pending import ENTRY_KINDS, Epoch
from crashlab.states.trace import Trace

__all__ = ["KILL", "POWER_LOSS", "SECTOR", "CrashState", "Kept", "parse_state", "resolve", "sectors"]

SECTOR = 512
KILL = "kill"
POWER_LOSS = "power-loss"
TEXT_CHARS_MAX = 1 << 20
_TEXT = re.compile(
    r"(?P<kind>kill|power-loss)@op=(?P<op>\d{1,12})(?:\+(?P<bytes>\d{1,10}))?"
    r"(?: keep=0x(?P<keep>[0-9a-f]+))?(?: torn=(?P<torn>\d+:0x[0-9a-f]+(?:,\d+:0x[0-9a-f]+)*))?"
    r"(?: entries=0x(?P<entries>[0-9a-f]+))?"
)


class CrashState(msgspec.Struct, frozen=True, order=True, gc=False):
    """One set of file contents the disk may hold; see the module for its fields and text.

    `op`: the moment. `torn_bytes`: kill only. `keep`, `torn`, `entries`: power loss only.
    """

    kind: str
    op: int
    torn_bytes: int = 0
    keep: int = 0
    torn: tuple[tuple[int, int], ...] = ()
    entries: int = 0

    def __str__(self) -> str:
        if self.kind == KILL:
            return f"kill@op={self.op}" + (f"+{self.torn_bytes}" if self.torn_bytes else "")
        torn = ",".join(f"{place}:{mask:#x}" for place, mask in self.torn)
        return (
            f"power-loss@op={self.op} keep={self.keep:#x}"
            + (f" torn={torn}" if torn else "")
            + (f" entries={self.entries:#x}" if self.entries else "")
        )


def parse_state(text: str) -> CrashState:
    """Parse a crash state's text.

    Raises:
        UsageError: it does not have the form.
    """
    match = _TEXT.fullmatch(text.strip()) if len(text) <= TEXT_CHARS_MAX else None
    wrong = match is None or (match["keep"] is None) != (match["kind"] == KILL)
    if match is not None and not wrong:
        wrong = bool(match["torn"] or match["entries"]) if match["kind"] == KILL else bool(match["bytes"])
    if match is None or wrong:
        raise UsageError(
            f"crash state {text[:80]!r}: expected kill@op=N[+BYTES] or "
            "power-loss@op=N keep=0x… [torn=PLACE:0x…,…] [entries=0x…]"
        )
    pairs = [pair.split(":0x") for pair in match["torn"].split(",")] if match["torn"] else []
    torn = tuple(sorted((int(place), int(mask, 16)) for place, mask in pairs))
    return CrashState(
        match["kind"],
        int(match["op"]),
        int(match["bytes"] or 0),
        int(match["keep"] or "0", 16),
        torn,
        int(match["entries"] or "0", 16),
    )


def sectors(offset: int, length: int) -> int:
    """Return how many sectors of 512 bytes a write touches."""
    return (offset % SECTOR + length + SECTOR - 1) // SECTOR


class Kept(msgspec.Struct, frozen=True):
    """What of a moment's pending operations a state has, in order.

    `data`: (operation, mask of its sectors or None for the whole). `entries`: operations. `torn`: a write of
    which only the first bytes are there, with their number.
    """

    data: tuple[tuple[int, int | None], ...]
    entries: tuple[int, ...]
    torn: tuple[int, int] | None = None


def resolve(trace: Trace, epoch: Epoch, state: CrashState) -> Kept:
    """Say which operations a state has, of those pending in its epoch.

    Raises:
        UsageError: the state does not fit this trace.
    """
    pending = epoch.pending[: epoch.count(state.op)]
    kinds = trace.kinds
    if state.kind == KILL:
        data = tuple((op, None) for op in pending if kinds[op] not in ENTRY_KINDS)
        entries = tuple(op for op in pending if kinds[op] in ENTRY_KINDS)
        if not state.torn_bytes:
            return Kept(data, entries)
        if state.op >= len(trace) or not 0 < state.torn_bytes < trace.lengths[state.op]:
            raise UsageError(f"crash state {state}: operation {state.op} of this trace is no write of more bytes")
        return Kept(data, entries, (state.op, state.torn_bytes))
    if not state.torn:
        if not state.entries and not any(kinds[op] in ENTRY_KINDS for op in pending):
            return Kept(_chosen(pending, state), ())
        keep, wanted = state.keep, state.entries
        data_ops: list[tuple[int, int | None]] = []
        entry_ops: list[int] = []
        for op in pending:
            if kinds[op] in ENTRY_KINDS:
                if wanted & 1:
                    entry_ops.append(op)
                wanted >>= 1
            else:
                if keep & 1:
                    data_ops.append((op, None))
                keep >>= 1
        if keep or wanted:
            raise UsageError(f"crash state {state}: only {len(pending)} operations are pending at op={state.op}")
        return Kept(tuple(data_ops), tuple(entry_ops))
    return _resolve_torn(trace, pending, state)


def _chosen(pending: list[int], state: CrashState) -> tuple[tuple[int, int | None], ...]:
    """The operations of the bits in `keep`, where all pending are writes and truncates."""
    if state.keep.bit_length() > len(pending):
        raise UsageError(f"crash state {state}: only {len(pending)} operations are pending at op={state.op}")
    bits = bin(state.keep)[:1:-1]
    return tuple([(op, None) for op, bit in zip(pending, bits, strict=False) if bit == "1"])


def _resolve_torn(trace: Trace, pending: list[int], state: CrashState) -> Kept:
    data_ops = [op for op in pending if trace.kinds[op] not in ENTRY_KINDS]
    entry_ops = [op for op in pending if trace.kinds[op] in ENTRY_KINDS]
    torn = dict(state.torn)
    beyond = state.keep >> len(data_ops) or state.entries >> len(entry_ops)
    if beyond or max(torn) >= len(data_ops):
        raise UsageError(f"crash state {state}: only {len(pending)} operations are pending at op={state.op}")
    kept: list[tuple[int, int | None]] = []
    for place, op in enumerate(data_ops):
        mask = torn.get(place)
        if mask is not None:
            most = sectors(trace.offsets[op], trace.lengths[op])
            if state.keep >> place & 1 or not 0 < mask < (1 << most) - 1:
                raise UsageError(f"crash state {state}: torn={place}:{mask:#x} is no part of {most} sectors")
            kept.append((op, mask))
        elif state.keep >> place & 1:
            kept.append((op, None))
    return Kept(tuple(kept), tuple(op for at, op in enumerate(entry_ops) if state.entries >> at & 1))
