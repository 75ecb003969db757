"""A record of the log as it is read back."""

import msgspec


class Record(msgspec.Struct, frozen=True):
    """One record as read back; `payload` is raw bytes whose form the kind decides."""

    process: int
    seq: int
    ns: int
    thread: int
    kind: int
    payload: bytes
