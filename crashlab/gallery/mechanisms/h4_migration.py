"""H4: a migration and its version number in two transactions: a crash, or a second starter, comes between them."""

from crashlab.gallery.exhibit import Exhibit
from crashlab.gallery.mechanisms._app import SOUND
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.driver import Problem
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

LINKS = ("https://github.com/open-webui/open-webui/issues/21349",)
ADVICE = (
    "BEGIN IMMEDIATE, then read the version, change the schema, set the version, COMMIT: DDL is transactional",
    "let one process migrate before any other starts",
    "prove it: kill after each statement of every migration, and start again",
)


def _version_one(stage: Stage) -> None:
    stage.has_rows = False
    maker = stage.opener("M")
    maker.sql("CREATE TABLE orders(number INTEGER PRIMARY KEY, amount INTEGER)")
    orders = 1 + stage.rng("orders").randrange(20)
    for _ in range(orders):
        maker.sql("INSERT INTO orders(amount) VALUES(100)")
    maker.sql("PRAGMA user_version = 1")
    maker.close()
    stage.step(f"the database is of version 1, with {orders} orders in it")


def _version(actor: Actor) -> int:
    return int(actor.sql("PRAGMA user_version")[0][0])


def _start(stage: Stage, name: str) -> str:
    """Start the program as its author meant it; returns `ok` or the error."""
    actor = stage.opener(name)
    try:
        if stage.control:
            actor.sql("BEGIN IMMEDIATE")
        if _version(actor) == 1:
            actor.sql("ALTER TABLE orders ADD COLUMN fee INTEGER")
            actor.sql("PRAGMA user_version = 2")
        if stage.control:
            actor.sql("COMMIT")
    except Problem as problem:
        return problem.message.partition(":")[0]
    finally:
        actor.close()
    return "ok"


def interrupted(stage: Stage) -> None:
    """The process is killed between the change of the schema and that of the version."""
    _version_one(stage)
    first = stage.opener("P")
    if stage.control:
        first.sql("BEGIN IMMEDIATE")
    first.sql("ALTER TABLE orders ADD COLUMN fee INTEGER")
    first.kill()
    where = "inside one transaction" if stage.control else "each statement a transaction of its own"
    stage.step(f"P migrates, {where}, and is killed between ALTER TABLE and PRAGMA user_version = 2")
    for name in ("Q", "R"):
        start = _start(stage, name)
        stage.observe(f"app.start_{name}", start)
        stage.step(f"{name} starts: {start}")


def race(stage: Stage) -> None:
    """Two processes start at once and both read version 1."""
    _version_one(stage)
    first, second = stage.opener("P"), stage.opener("Q")
    begun = ""
    if stage.control:
        first.sql("BEGIN IMMEDIATE")
        begun = stage.attempt(second, "BEGIN IMMEDIATE")
    versions = [_version(first), _version(second)] if not stage.control else [_version(first)]
    told = f"; Q has to wait to begin ({begun})" if begun else ""
    stage.step(f"P and Q start at once; version read: {' and '.join(map(str, versions))}{told}")
    first.sql("ALTER TABLE orders ADD COLUMN fee INTEGER")
    first.sql("PRAGMA user_version = 2")
    if stage.control:
        first.sql("COMMIT")
        second.sql("BEGIN IMMEDIATE")
        versions.append(_version(second))
    start = "ok"
    if versions[1] == 1:
        try:
            second.sql("ALTER TABLE orders ADD COLUMN fee INTEGER")
        except Problem as problem:
            start = problem.message.partition(":")[0]
    stage.observe("app.start_Q", start)
    stage.step(f"P migrates; Q, which read version {versions[1]}: {start}")


EXHIBITS = (
    Exhibit(
        id="h4",
        title="migration killed between ALTER TABLE and the version: no start succeeds any more",
        fault_class=FaultClass.PROCESS_DEATH,
        happens=(
            "Each statement commits by itself. Killed after ALTER TABLE and before the new version number, the "
            "database is of version 1 with a column of version 2, and every start tries to add it again."
        ),
        control="schema and version change in one transaction",
        run=interrupted,
        picture={**SOUND, "app.start_Q": "duplicate column name", "app.start_R": "duplicate column name"},
        clean={**SOUND, "app.start_Q": "ok", "app.start_R": "ok"},
        symptom="'duplicate column name' (or 'no such column') at every start since the last update",
        advice=ADVICE,
        mistaken_for=("a corrupt database", "a bad release"),
        links=LINKS,
    ),
    Exhibit(
        id="h4-race",
        title="two starters migrate at once: the second fails on what the first has done",
        fault_class=FaultClass.NONE,
        happens=(
            "Both read the version before either has changed anything. The second one's ALTER TABLE meets the column "
            "that the first one has just added."
        ),
        control="the version is read inside BEGIN IMMEDIATE, together with the change",
        run=race,
        picture={**SOUND, "app.start_Q": "duplicate column name"},
        clean={**SOUND, "app.start_Q": "ok"},
        symptom="one of several workers dies with 'duplicate column name' after an update; a restart cures it",
        advice=ADVICE,
        mistaken_for=("a corrupt database", "database is locked"),
        links=LINKS,
    ),
)
