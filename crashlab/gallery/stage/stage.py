"""The stage: where one side of an exhibit is played, step by step, by actors in processes of their own."""

import random
from pathlib import Path

from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.stage.actor import ANSWER_S, Actor, Gone
from crashlab.gallery.stage.driver import Driver, Problem
from crashlab.gallery.stage.ending import file_features, next_opener
from crashlab.gallery.stage.forked import Forked
from crashlab.gallery.stage.ledger import Ledger
from crashlab.gallery.stage.sight import Sight, look
from crashlab.gallery.telling import Moment, Result, Rows, Telling, differences, matches
from crashlab.model.seed import rng_for
from crashlab.sqlite.files import Triplet

__all__ = ["Stage"]

WAL = ("journal_mode=WAL", "synchronous=FULL")
"""The pragmas that most actors open with."""

SCHEMA = ("CREATE TABLE t(id INTEGER PRIMARY KEY, who TEXT, v TEXT)", "CREATE INDEX tv ON t(v)")
EVIDENCE_BYTES_MAX = 1 << 30


class Stage:
    """One run of one side. `control`: the step that makes the difference is left out or done rightly.

    `directory` is empty at the start and belongs to the run; `main` is the database that exhibits use when
    they need but one. `judged` is the file that the next opener gets (`main` unless changed). `has_rows` false:
    there is no ledger of rows; the exhibit observes what counts by itself. `check_s`: the next opener's time.
    `keep`: also leave an early copy of the files in ``evidence/backup``, and the ledger in ``evidence/ledger.ndjson``.

    The process that holds the stage never opens a database: only its actors do.
    """

    def __init__(self, exhibit: Exhibit, driver: Driver, directory: Path, *, seed: int, control: bool) -> None:
        self.exhibit = exhibit
        self.driver = driver
        self.directory = directory / "run"
        self.directory.mkdir()
        self.evidence = directory / "evidence"
        self.seed = seed
        self.control = control
        self.main = self.directory / "state.db"
        self.judged = self.main
        self.has_rows = True
        self.check_s = ANSWER_S
        self.keep = False
        self.ledger = Ledger()
        self.features: dict[str, str] = {}
        self.moments: list[Moment] = []
        self._actors: list[Actor] = []
        self._before: list[str] = []
        self._names: list[str] = []

    # -- actors -----------------------------------------------------------------------------------------

    def actor(self, name: str) -> Actor:
        """Start an actor; it does nothing yet."""
        actor = Actor(name, self.driver, self._actors)
        self._actors.append(actor)
        return actor

    def forked(self, name: str, parent: Actor) -> Forked:
        """Let an actor fork; the child has what its parent has open, and is an actor too."""
        child = Forked(name, parent)
        self._actors.append(child)
        return child

    def opener(self, name: str, *pragmas: str, path: Path | None = None, busy_s: float = 0.0) -> Actor:
        """Start an actor that opens the database, in WAL mode unless told other pragmas."""
        actor = self.actor(name)
        actor.open(str(path or self.main), *(pragmas or WAL), busy_s=busy_s)
        return actor

    def create(self, actor: Actor, on: str = "main") -> None:
        """Let an actor make the table `t(id, who, v)` with an index on `v`."""
        for statement in SCHEMA:
            actor.sql(statement, on=on)

    def rng(self, *fields: object) -> random.Random:
        """Return a generator of the run's seed for these fields."""
        return rng_for(self.seed, *fields)

    def rows(self, who: str, count: int, size: int = 200) -> list[list[str]]:
        """Return `count` rows (key, value) of about `size` bytes; the same seed makes the same."""
        rng = self.rng("rows", who)
        return [[f"{who}{number}", rng.randbytes(size // 2).hex()] for number in range(count)]

    def insert(
        self, actor: Actor, who: str, count: int, *, size: int = 200, together: bool = False, on: str = "main"
    ) -> Problem | None:
        """Let an actor insert rows; those acked go to the ledger. Returns what stopped it, if anything."""
        rows = self.rows(who, count, size)
        answer = actor.ask("insert", rows, on, together=together)
        for key, value in rows[: answer["acked"]]:
            self.ledger.ack(key, value)
        return Problem(*answer["error"]) if answer["error"] else None

    def attempt(self, actor: Actor, sql: str, on: str = "main") -> str:
        """Let an actor run a statement; returns the error's name (`SQLITE_BUSY`, `SIGBUS`), or `none`."""
        try:
            actor.sql(sql, on=on)
        except Problem as problem:
            return problem.name
        except Gone as gone:
            return gone.signal or "EXIT"
        return "none"

    # -- telling ----------------------------------------------------------------------------------------

    def step(self, done: str, *, main: Path | None = None) -> Sight:
        """Tell what was just done, with what is now on disk, and look for the features of living processes.

        `live.unlinked`, `live.strayed`: which files some actor held whose name was gone, or was another file's.
        `live.main_locks`, `live.shm_locks`: held, or lost, where an opener in WAL mode had no lock row.
        `live.backfill`: impossible, if nBackfill was ever above mxFrame.
        `live.links`: several, if a file ever had more than one name, else one.
        `live.ghost_wal`: commits, if an actor ever held an unlinked WAL with committed frames, else none.
        """
        self._early_copy()
        sight = look(main or self.main, self._actors)
        lines = sight.lines()
        gone = [f"{name}: gone" for name in self._names if name not in {file.name for file in sight.files}]
        self.moments.append(Moment(done, (*gone, *(line for line in lines if line not in self._before))))
        self._before = lines
        self._names = [file.name for file in sight.files]
        self._collect("live.unlinked", {_role(holder.name) for holder in sight.unlinked})
        self._collect("live.strayed", {_role(holder.name) for holder in sight.strayed})
        self._collect("live.ghost_wal", {"commits"} if any(ghost.committed for ghost in sight.ghosts) else set())
        several = any(file.links > 1 for file in sight.files)
        if several or "live.links" not in self.features:
            self.features["live.links"] = "several" if several else "one"
        self._lock_features(sight)
        impossible = sight.index is not None and sight.index.impossible
        if impossible or "live.backfill" not in self.features:
            self.features["live.backfill"] = "impossible" if impossible else "possible"
        return sight

    def observe(self, feature: str, value: object) -> None:
        """Record a feature that only this exhibit can see, such as ``victim.error``."""
        self.features[feature] = str(value)

    def note(self, text: str) -> None:
        """Tell something without looking at the files again."""
        self.moments.append(Moment(text))

    def _early_copy(self) -> None:
        """Copy the files as they lie once a row was acked: the actors rest between two steps."""
        place = self.evidence / "backup"
        if self.keep and self.ledger.acked and not place.exists() and self.judged.exists():
            place.mkdir(parents=True)
            Triplet.of(self.judged).copy_into(place, max_bytes=EVIDENCE_BYTES_MAX)

    def _collect(self, feature: str, roles: set[str]) -> None:
        known = set(self.features.get(feature, "none").split("+")) - {"none"}
        self.features[feature] = "+".join(sorted(known | roles)) or "none"

    def _lock_features(self, sight: Sight) -> None:
        for feature, role in (("live.main_locks", "main"), ("live.shm_locks", "shm")):
            self.features.setdefault(feature, "held")
            for actor in self._actors:
                held = {_role(holder.name): holder for holder in sight.holders if holder.actor == actor.name}
                if {"wal", role} <= held.keys() and (actor.pid, held[role].inode) not in sight.locks:
                    self.features[feature] = "lost"

    # -- the end ----------------------------------------------------------------------------------------

    def finish(self) -> Telling:
        """End all actors, copy the files as they lie, let the next opener look, and compare with the picture."""
        self.stop()
        rows = Rows()
        checks: dict[str, tuple[str, ...]] = {}
        if self.judged.exists():
            self.evidence.mkdir(exist_ok=True)
            triplet = Triplet.of(self.judged).copy_into(self.evidence, max_bytes=EVIDENCE_BYTES_MAX)
            self.features |= file_features(triplet)
            if self.keep and self.has_rows:
                (self.evidence / "ledger.ndjson").write_text(self.ledger.lines(), encoding="utf-8")
            rows, checks = self._next_opener()
        else:
            self.features["open.error"] = "missing"
        self.stop()
        version = tuple(int(part) for part in self.driver.version.split("."))
        wanted = dict(self.exhibit.expected(control=self.control, version=version))
        differs = differences(wanted, self.features)
        return Telling(
            exhibit=self.exhibit.id,
            control=self.control,
            seed=self.seed,
            sqlite=self.driver.version,
            result=Result.UNEXPECTED if differs else Result.AS_EXPECTED,
            showed=matches(dict(self.exhibit.picture), self.features),
            moments=tuple(self.moments),
            rows=rows,
            checks=checks,
            features=dict(sorted(self.features.items())),
            differs=differs,
        )

    def stop(self) -> None:
        """End every actor that is left, without closing its connections."""
        for actor in self._actors:
            if actor.alive:
                actor.leave()

    def _next_opener(self) -> tuple[Rows, dict[str, tuple[str, ...]]]:
        opener = self.actor("the next opener")
        report = opener.call(next_opener, str(self.judged), self.has_rows, seconds=self.check_s)
        self.features["open.error"] = report["error"]
        checks: dict[str, tuple[str, ...]] = {}
        for check in ("quick_check", "integrity_check"):
            checks[check] = tuple(report[check])
            self.features[check] = "ok" if report[check] == ["ok"] else "fails"
        rows = Rows()
        if self.has_rows:
            rows, features = self.ledger.compare(report["rows"])
            self.features |= features
        return rows, checks


def _role(name: str) -> str:
    for suffix in ("-wal", "-shm", "-journal"):
        if name.endswith(suffix):
            return suffix[1:]
    return "main"
