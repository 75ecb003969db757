"""The databases that this process has open, and through which connections."""

import os
from dataclasses import dataclass, field

from crashlab.diagnosis.hazards import proc
from crashlab.diagnosis.hazards.hazard import Frame

SIDECARS = ("-wal", "-shm", "-journal")
DATABASES_MAX = 10_000


@dataclass(slots=True, eq=False)
class Connection:
    """One open connection. `pointer`: SQLite's handle, 0 where it could not be seen (then neither can its end).

    `number`: counts connections. `python_id`: `id()` of the `sqlite3.Connection`, 0 for others. `pid`: of the process
    that opened it. `immutable`, `nolock`: as its URI says. `size`: bytes of the main file as it was opened.
    """

    pointer: int
    database: "Database"
    number: int
    stack: tuple[Frame, ...]
    pid: int
    context: str
    immutable: bool = False
    nolock: bool = False
    python_id: int = 0
    size: int = -1
    status: tuple[int, int] | None = None


@dataclass(slots=True, eq=False)
class Writer:
    """A connection that wrote. `closed`: counts like the connections' numbers."""

    closed: int
    stack: tuple[Frame, ...]


@dataclass(slots=True, eq=False)
class Foreign:
    """A descriptor on the database that was there before a connection was opened."""

    number: int
    frame: Frame | None


@dataclass(slots=True, eq=False)
class Database:
    """One main file, by device and inode. `path`: as SQLite has it. `writer`: the last one to be closed."""

    path: str
    identity: proc.Identity
    live: dict[int, Connection] = field(default_factory=dict)
    unseen: list[Connection] = field(default_factory=list)
    writer: Writer | None = None
    foreign: list[Foreign] = field(default_factory=list)

    @property
    def opened_here(self) -> Connection | None:
        """The connection that has been open longest, or None."""
        for connection in (*self.live.values(), *self.unseen):
            return connection
        return None

    @property
    def is_open(self) -> bool:
        """Whether this process has it open. Where there is /proc the descriptors have the last word."""
        if self.opened_here is None:
            return False
        return not proc.AVAILABLE or bool(proc.descriptors_on(self.identity))

    @property
    def sidecar(self) -> str:
        """`-wal` or `-journal`, as the files beside it show; empty for none."""
        return next((suffix for suffix in ("-wal", "-journal") if os.path.exists(self.path + suffix)), "")


class Registry:
    """All of them. No part of it opens a file."""

    def __init__(self) -> None:
        self.by_pointer: dict[int, Connection] = {}
        self._by_identity: dict[proc.Identity, Database] = {}
        self._count = 0

    def next_number(self) -> int:
        """A number for each connection opened or closed, rising."""
        self._count += 1
        return self._count

    def database(self, path: str, identity: proc.Identity) -> Database:
        """Return the database, new or open already."""
        known = self._by_identity.get(identity)
        if known is None:
            if len(self._by_identity) >= DATABASES_MAX:
                self._by_identity.clear()
            known = self._by_identity[identity] = Database(path, identity)
        return known

    def add(self, connection: Connection) -> None:
        """A connection was opened."""
        if not connection.pointer:
            connection.database.unseen[:] = [connection]
            return
        before = self.by_pointer.get(connection.pointer)
        if before is not None:  # its end was not seen
            before.database.live.pop(connection.pointer, None)
        self.by_pointer[connection.pointer] = connection
        connection.database.live[connection.pointer] = connection

    def remove(self, pointer: int) -> Connection | None:
        """A connection is being closed; return it."""
        connection = self.by_pointer.pop(pointer, None)
        if connection is not None:
            database = connection.database
            database.live.pop(pointer, None)
            if not database.live and self._by_identity.get(database.identity) is database:
                del self._by_identity[database.identity]
        return connection

    def find(self, path: str) -> tuple[Database | None, str]:
        """Return the open database that a path is a file of, and which: "", "-wal", "-shm" or "-journal"."""
        for suffix in ("", *SIDECARS):
            if suffix and not path.endswith(suffix):
                continue
            identity = proc.identity_of(path.removesuffix(suffix) if suffix else path)
            known = self._by_identity.get(identity) if identity else None
            if known is not None:
                if known.is_open:
                    return known, suffix
                del self._by_identity[known.identity]  # closed, and nobody told
        return None, ""

    def by_identity(self, identity: proc.Identity) -> Database | None:
        """Return the database with this main file, if it is open here."""
        return self._by_identity.get(identity)

    def open_databases(self) -> list[Database]:
        """All of them, longest known first."""
        return list(self._by_identity.values())
