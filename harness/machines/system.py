"""A store under the machine: how it is started, stopped, called, read, and copied."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from harness.machines.leg import Place
from harness.machines.model import Model
from store import StoreClosed, StoreError

Operation = tuple[str, dict[str, Any]]
"""A public operation: its name and its arguments, by keyword."""

WAITS = ("BUSY_TIMEOUT_S", "TRUNCATE_WAIT_S", "CLOSE_WAIT_S")
ALONE = "it"
"""The name of a store that has no siblings."""


class AbortError(Exception):
    """What leaves a `transaction()` block that is to be rolled back."""


class System:
    """Base of the systems. `stores`: the open ones by name, each as if in a process of its own.

    A public method `m` of the store is performed as it is, unless there is a `do_m` here.
    """

    name: ClassVar[str]
    names: ClassVar[tuple[str, ...]] = (ALONE,)
    model: ClassVar[type[Model]]
    ends: ClassVar[frozenset[str]] = frozenset()
    """Operations after which the store is closed."""

    def __init__(self, store: type[Any]) -> None:
        self.store = store
        self.stores: dict[str, Any] = {}

    def options(self) -> dict[str, Any]:
        """The arguments that it was made with."""
        return {"store": self.store}

    def make(self, name: str, place: Place, clock: Callable[[], int]) -> Any:
        """Make a store of that name, not yet open."""
        return self.store(place.database, connect=place.connect, clock=clock)

    def make_hasty(self, name: str, place: Place, clock: Callable[[], int]) -> Any:
        """Make a store that waits for no lock.

        Nobody else runs while it waits; and how often it tries again would be the real clock's to say.
        """
        store = self.make(name, place, clock)
        for wait in WAITS:
            if hasattr(store, wait):
                setattr(store, wait, 0.0)
        return store

    def start(self, place: Place, clock: Callable[[], int], who: str = "") -> None:
        """Open every store, or the one called `who`, by its own start-up path."""
        for name in self.names:
            if who in ("", name):
                self.stores[name] = self.make_hasty(name, place, clock)
                self.stores[name].initialize_database()
        self.stores = {name: self.stores[name] for name in self.names}

    def stop(self, *, twice: bool = False, who: str = "") -> None:
        """Close every store, or the one called `who`; `twice`: and once more, and see that it is closed.

        Raises:
            AssertionError: one that is closed answers.
        """
        stores = [store for name, store in self.stores.items() if who in ("", name)]
        if not who:
            self.stores = {}
        first: BaseException | None = None
        for store in stores:
            try:
                store.close()
                if twice:
                    store.close()
                    _require_closed(self.probe, store)
            except BaseException as error:
                first = first or error
        if first is not None:
            raise first

    def probe(self, store: Any) -> object:
        """Read something."""
        raise NotImplementedError

    def perform(self, name: str, arguments: dict[str, Any]) -> Any:
        """Do one public operation, of the store that the argument `who` names."""
        arguments = dict(arguments)
        who = arguments.pop("who", self.names[0])
        return self.call(self.stores[who], name, arguments)

    def call(self, store: Any, name: str, arguments: dict[str, Any]) -> Any:
        """Do one public operation of a store."""
        special = getattr(self, f"do_{name}", None)
        return special(store, **arguments) if special is not None else getattr(store, name)(**arguments)

    def do_block(self, store: Any, steps: Sequence[tuple[str, dict[str, Any]]], *, fail: bool) -> list[Any]:
        """Several operations in one `transaction()`; see `Model.block`."""
        results: list[Any] = []
        with store.transaction():
            for name, arguments in steps:
                try:
                    results.append(self.call(store, name, arguments))
                except StoreError:
                    results.append("refused")
            if fail:
                raise AbortError
        return results

    def view(self) -> dict[str, Any]:
        """What the public reads say, by the name of the read."""
        raise NotImplementedError

    def audit(self, connection: sqlite3.Connection) -> list[str]:
        """What the books or indexes of a recovered database have wrong by themselves; for a second connection."""
        return []

    def backup(self, place: Place, target: Path) -> Path:
        """Make a consistent copy in the directory and return its path; here by SQLite's own means."""
        path = target / "copy.db"
        with closing(place.second_connection(read_only=True)) as source, closing(sqlite3.connect(path)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        return path


def check_file(connection: sqlite3.Connection) -> list[str]:
    """What SQLite's own checks say against a database: quick_check, integrity_check, foreign keys."""
    found = []
    for check in ("quick_check", "integrity_check"):
        rows = connection.execute(f"PRAGMA {check}").fetchall()
        if rows != [("ok",)]:
            found.append(f"{check}: {rows[:3]}")
    rows = connection.execute("PRAGMA foreign_key_check").fetchall()
    if rows:
        found.append(f"foreign_key_check: {rows[:3]}")
    return found


def _require_closed(probe: Callable[[Any], object], store: Any) -> None:
    try:
        answer = probe(store)
    except StoreClosed:
        return
    raise AssertionError(f"the closed store answers {answer!r} instead of raising StoreClosed")
