"""The process's one watcher: it brings what happens to the detectors, and what they find to the watch."""

import atexit
import gc
import os
import sqlite3
import threading
import urllib.parse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from crashlab.diagnosis.hazards import audit, proc
from crashlab.diagnosis.hazards.connections import Connection
from crashlab.diagnosis.hazards.detect import DETECTORS
from crashlab.diagnosis.hazards.detect.forks import ForkDetector
from crashlab.diagnosis.hazards.scene import Detector, Scene, living, text_of
from crashlab.diagnosis.hazards.seam import Closing, Opening, Seam
from crashlab.diagnosis.hazards.stack import user_stack
from crashlab.errors import TapUnavailableError

if TYPE_CHECKING:
    from crashlab.diagnosis.hazards.watching import Watch

_STACK_OF_CONNECTION = 3


class _Busy(threading.local):
    """Whether this thread is at work here: what it does now is no hazard."""

    now = False
    last: Connection | None = None
    plain = False  # the connection that is being opened has no URI


class Watcher:
    """Sees to it that one set of detectors hears of everything while at least one watch is on.

    Hazards go to the watch that was started last. `problems`: errors of ours, which never reach the program.
    """

    def __init__(self) -> None:
        self.watches: list[Watch] = []
        self.problems: list[str] = []
        self.gaps: tuple[str, ...] = ()
        self.scene = Scene()
        self._detectors: list[Detector] = []
        self._connectings: list[Callable[[str], None]] = []
        self._openeds: list[Callable[[Connection], None]] = []
        self._rests: list[Callable[[], None]] = []
        self._closings: list[Callable[[Connection, Closing], None]] = []
        self._seam: Seam | None = None
        self._no_seam = ""
        self._busy = _Busy()
        self._starting = threading.RLock()
        self._prepared = False
        self._ending = False

    # -- on and off -------------------------------------------------------------------------------------

    def start(self, watch: "Watch") -> None:
        """Begin to watch for `watch`."""
        with self._starting:
            if not self._prepared:
                self._prepare()
            if not self.watches:
                self._on()
            self.watches.append(watch)

    def stop(self, watch: "Watch") -> None:
        """Look a last time, deliver to `watch`, and stop when nobody else watches."""
        with self._starting:
            if watch not in self.watches:
                return
            if self.scene.registry.by_pointer:
                gc.collect()  # a sqlite3.Connection is in a cycle: one that nobody has any more is still open
            self._each(lambda detector: detector.rest())
            self._last_look()
            self._each(lambda detector: detector.end())
            self.deliver()
            self.watches.remove(watch)
            if not self.watches:
                audit.handlers.clear()
                if self._seam is not None:
                    self._seam.stop()
                self._detectors, self._rests = [], []

    def rest(self) -> None:
        """Look at what can be seen only by looking: between tests."""
        for rest in self._rests:
            self._quietly(rest)
        self.deliver()

    def _prepare(self) -> None:
        self._prepared = True
        audit.hook_once()
        try:
            self._seam = Seam()
        except TapUnavailableError as error:
            self._no_seam = str(error)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)
        atexit.register(self._over)

    def _on(self) -> None:
        self.scene = Scene()
        self._detectors = [make(self.scene) for make in DETECTORS]
        self._connectings = [each.connecting for each in self._detectors if _has(each, "connecting")]
        self._openeds = [each.opened for each in self._detectors if _has(each, "opened")]
        self._rests = [each.rest for each in self._detectors if _has(each, "rest")]
        self._closings = [each.closing for each in self._detectors if _has(each, "closing")]
        gathered: dict[str, list[audit.Handler]] = {}
        for detector in self._detectors:
            for event, handler in detector.audits().items():
                gathered.setdefault(event, []).append(handler)
        gathered["sqlite3.connect"] = [self._connecting]
        gathered["sqlite3.connect/handle"] = [self._handled]
        for event, several in gathered.items():
            audit.handlers[event] = self._guarded(several)
        gaps = []
        if self._seam is not None:
            self._seam.opened, self._seam.closing, self._seam.used = self._opened, self._closing, self._used
            self._seam.start()
            self.scene.watch_use, self.scene.synchronous = self._seam.watch_use, self._seam.synchronous
        else:
            gaps.append(
                f"used-after-fork, dropped-transaction, synchronous-off, wal-reset and changes under immutable=1 "
                f"are not seen: {self._no_seam}"
            )
        if not proc.AVAILABLE:
            gaps.append(
                "two-libraries, checkpoint-starved and descriptors opened before a connection need Linux's /proc"
            )
        self.gaps = tuple(gaps)

    def _last_look(self) -> None:
        """Ask the connections that are open how they are doing. At the program's end they are as good as closed."""
        if self._seam is None:
            return
        for connection in living(self.scene.registry):
            with self._seam.asking(connection.pointer, at_exit=self._ending) as facts:
                if facts is None:
                    continue
                for detector in self._detectors:
                    tell = detector.closing if self._ending else detector.alive
                    self._quietly(partial(tell, connection, facts))

    def _over(self) -> None:
        """The interpreter ends: whoever still watches gets what there is."""
        self._ending = True
        for watch in list(reversed(self.watches)):
            watch.stop()

    def _forked(self) -> None:
        self._starting = threading.RLock()
        if not self.watches:
            return
        self._busy.now = False
        self.scene.found.clear()
        for detector in self._detectors:
            self._quietly(detector.forked)

    # -- what happens -----------------------------------------------------------------------------------

    def _guarded(self, several: list[audit.Handler]) -> audit.Handler:
        busy = self._busy

        def handle(arguments: tuple[Any, ...]) -> None:
            if busy.now:
                return
            busy.now = True
            try:
                for handler in several:
                    handler(arguments)
            except Exception as error:  # ours; the program must not meet it
                self._problem(error)
            finally:
                busy.now = False
            if self.scene.found:
                self.deliver()

        return handle

    def _quietly(self, do: Callable[[], None]) -> None:
        if self._busy.now:
            return
        self._busy.now = True
        try:
            do()
        except Exception as error:
            self._problem(error)
        finally:
            self._busy.now = False

    def _each(self, do: Callable[[Detector], None]) -> None:
        for detector in self._detectors:
            self._quietly(partial(do, detector))

    def _problem(self, error: Exception) -> None:
        if len(self.problems) < 20:
            self.problems.append(f"{type(error).__name__}: {error}")

    def _connecting(self, arguments: tuple[Any, ...]) -> None:
        database = arguments[0]
        self._busy.plain = isinstance(database, str) and not database.startswith("file:")
        path = _path_of(database)
        if path is None:
            return
        for connecting in self._connectings:
            connecting(path)
        if self._seam is None and os.path.exists(path):
            self._enter(Opening(0, os.path.realpath(path)), *_flags_of(database))

    def _handled(self, arguments: tuple[Any, ...]) -> None:
        last, self._busy.last = self._busy.last, None
        if last is not None and isinstance(arguments[0], sqlite3.Connection):
            last.python_id = id(arguments[0])

    def _opened(self, opening: Opening) -> None:
        busy = self._busy
        if busy.now:
            return
        busy.now = True
        try:
            if busy.plain or self._seam is None:
                self._enter(opening)
            else:
                self._enter(opening, *(self._seam.flag(opening.pointer, name) for name in (b"immutable", b"nolock")))
        except Exception as error:
            self._problem(error)
        finally:
            busy.now = busy.plain = False
        if self.scene.found:
            self.deliver()

    def _enter(self, opening: Opening, immutable: bool = False, nolock: bool = False, /) -> None:
        try:
            status = os.stat(opening.path)
        except OSError:
            return
        scene = self.scene
        registry = scene.registry
        connection = Connection(
            opening.pointer,
            registry.database(opening.path, (status.st_dev, status.st_ino)),
            registry.next_number(),
            user_stack(_STACK_OF_CONNECTION),
            os.getpid(),
            scene.context,
            immutable,
            nolock,
            size=status.st_size,
        )
        registry.add(connection)
        self._busy.last = connection
        for opened in self._openeds:
            opened(connection)

    def _closing(self, closing: Closing) -> None:
        connection = self.scene.registry.by_pointer.get(closing.pointer)
        if connection is None:
            return

        busy = self._busy
        if not busy.now:
            busy.now = True
            try:
                for told in self._closings:
                    told(connection, closing)
            except Exception as error:
                self._problem(error)
            finally:
                busy.now = False
        self.scene.registry.remove(closing.pointer)
        if self.scene.found:
            self.deliver()

    def _used(self, pointer: int) -> None:
        connection = self.scene.registry.by_pointer.get(pointer)
        if connection is not None:
            for detector in self._detectors:
                if isinstance(detector, ForkDetector):
                    self._quietly(partial(detector.used, connection))
            self.deliver()

    def deliver(self) -> None:
        """Give what was found to the watch that was started last. Raises what its warnings are made to raise."""
        while self.scene.found and not self._busy.now:
            found, self.scene.found[:] = list(self.scene.found), []
            for hazard in found:
                self.watches[-1].take(hazard)


def _has(detector: Detector, method: str) -> bool:
    return getattr(type(detector), method) is not getattr(Detector, method)


def _path_of(database: Any) -> str | None:
    """Return the file that `sqlite3.connect` was given, absolute; None for memory and temporary databases."""
    name = text_of(database)
    if not name or name == ":memory:":
        return None
    if name.startswith("file:"):
        parts = urllib.parse.urlsplit(name)
        if "mode=memory" in parts.query or parts.path in ("", ":memory:"):
            return None
        name = urllib.parse.unquote(parts.path)
    return name if os.path.isabs(name) else os.path.abspath(name)


def _flags_of(database: Any) -> tuple[bool, bool]:
    name = text_of(database) or ""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(name).query) if name.startswith("file:") else {}
    return tuple(query.get(key, ["0"])[-1] not in ("0", "no", "false", "off") for key in ("immutable", "nolock"))  # type: ignore[return-value]


WATCHER = Watcher()
"""The one of this process."""
