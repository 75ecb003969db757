"""The engine's handle: one store after another, one session in each, and the shutdown between them."""

import sqlite3
from contextlib import closing
from typing import ClassVar

from crashlab.model.workload import Context
from harness.workloads.invariants import CLOSED_NOTE
from harness.workloads.paper_session.books import Books, read_books
from harness.workloads.paper_session.exchange import PaperGateway
from harness.workloads.paper_session.reasons import Halt, doubt
from harness.workloads.paper_session.told import CLOSING, LIFE, Ending, Teller
from harness.workloads.paper_session.wiring import Wired, paper_config, wire
from harness.workloads.parts import CaseConnect, Nanoseconds, size_of
from harness.workloads.watch import StoreNotes, Watch, WatchedStore, watched
from store import Holdings, StateManager, must_be_synchronous

RESTART_AFTER_NS = (7 * 24 * 3600 * 10**3 + 250) * 10**6
"""A crashed engine is started again a week and a quarter of a second after the stepped clock's beginning: what
was submitted in the first quarter of a second is an orphan then, what came later is not."""


class LifeStore(WatchedStore):
    """A store whose opening and closing are noted; `paper` mixes it into any class of stores."""

    STALLED_ROUNDS: ClassVar[int] = 3
    teller: Teller | None = None

    def close(self) -> None:
        """Close, and note what is left beside the database."""
        if self.teller is None or not self.is_open:
            super().close()
            return
        if self.watch is not None:
            self.watch.look_for_loop()
        self.teller.note(CLOSING)
        super().close()
        self.teller.note(f"{CLOSED_NOTE}{size_of(f'{self.path}-wal')}")


def paper(store_class: type[StateManager]) -> type[LifeStore]:
    """Return the class of stores with its life noted."""
    return type(f"Paper{store_class.__name__}", (LifeStore, watched(store_class)), {})


class _ImpatientConnect(CaseConnect):
    """Waits for a locked database as long as the case says; the workload locks it on purpose."""

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._wait_s = float(ctx.params["busy_timeout_s"])

    def __call__(self, *args: object, **options: object) -> sqlite3.Connection:
        return super().__call__(*args, **{**options, "timeout": self._wait_s})


class Desk:
    """The program's handle in a run.

    `counted` is what the engine itself believes to hold; `halt` is why its session will end, None while there is
    no session; `doubt` is the error after which it does not know its own state.
    """

    def __init__(self, store_class: type[LifeStore], ctx: Context, gateway: PaperGateway) -> None:
        self._class = store_class
        self._ctx = ctx
        self._gateway = gateway
        self.submit_and_wait = must_be_synchronous(gateway.submit_and_wait, "submit_and_wait")
        self.wired: Wired = wire(paper_config(str(ctx.database), float(ctx.params["checkpoint_interval_s"])))
        self.teller = Teller(ctx)
        self.now = Nanoseconds(ctx)
        self.reader_pins = ctx.params["reader"] == "pinned"
        self.session = 0
        self.halt: Halt | None = None
        self.counted = Holdings()
        self.doubt: Exception | None = None
        self._log = StoreNotes(ctx)
        self.open()

    def open(self) -> None:
        """Open the store and start its checkpoint loop, unless that has been done."""
        if hasattr(self, "store") and self.store.is_open:
            return
        ctx = self._ctx
        watch = Watch(ctx)
        store = self._class(self.wired.database, connect=_ImpatientConnect(ctx), clock=self.now, wait=watch.wait)
        store.TRUNCATE_WAIT_S = float(ctx.params["close_wait_s"])  # type: ignore[misc]
        store.watch, store.teller = watch, self.teller
        self.teller.note(LIFE)
        store.initialize_database()
        store.start_wal_checkpoint_loop(self.wired.checkpoint_interval_s)
        self.store: LifeStore = store

    def start(self, parent: int | None, halt: Halt) -> int:
        """Begin a session, which will end for the reason given, unless something goes wrong."""
        self.session = self.store.start_session(parent)
        self.halt = halt
        self.counted = self.store.holdings()
        return self.session

    def stop(self) -> None:
        """End the session the one right way; the store is closed afterwards."""
        if self.halt is None:
            return self.store.close()
        halt, session = self.halt, self.session
        self.halt = None
        reason, detail = halt.told(self.wired.limits, session) if self.doubt is None else doubt(self.doubt)
        total = halt.miscount(self.counted) if self.doubt is None else self.store.holdings()
        self.teller.ending(session, Ending(reason, total, detail))
        error: BaseException | None = None
        try:
            self.store.shutdown(session, reason, detail, engine_total=total, cancel=self._gateway.cancel)
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.teller.ended(session, error)

    def close(self) -> None:
        """The process ends: the session with it."""
        try:
            if self.store.is_open:
                self.stop()
        except Exception as error:  # it has been logged; a program that is ending can do no more
            self.teller.note(f"stopped with {type(error).__name__}: {error}"[:300])
        finally:
            self.store.close()
            self._log.detach()


class Restarted:
    """The program's handle after a crash: the books as they were found, and the session that was started on them."""

    reader_pins: bool

    def __init__(self, store_class: type[LifeStore], ctx: Context) -> None:
        self.now = Nanoseconds(ctx, RESTART_AFTER_NS)
        self.reader_pins = ctx.params["reader"] == "pinned"
        self.store = store_class(ctx.database, connect=CaseConnect(ctx), clock=self.now, wait=ctx.wait)
        self.store.initialize_database()
        try:
            with closing(sqlite3.connect(ctx.database, isolation_level=None)) as connection:
                self.before: Books = read_books(connection)
            left_open = [session.session_id for session in self.before.sessions if session.ended_at is None]
            self.parent = left_open[-1] if left_open else None
            self.session = self.store.start_session(self.parent)
        except BaseException:
            self.store.close()
            raise
        self._after: Books | None = None

    def after(self, connection: sqlite3.Connection) -> Books:
        """The books after the start."""
        if self._after is None:
            self._after = read_books(connection)
        return self._after

    def close(self) -> None:
        """Close the store; the session stays open, as after another crash."""
        self.store.close()
