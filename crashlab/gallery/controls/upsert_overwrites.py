"""Control: an upsert without a condition lets a late, older quote overwrite an acked newer one.

Every third step delivers the quote of two steps ago once more. It must change nothing. No fault is needed.
"""

from crashlab.gallery.controls.control import Control, Handle, OneLane
from crashlab.model.step import Effect, Step, Table

LATE_EVERY = 3
_UPSERT = """INSERT INTO quote VALUES('EURUSD', ?, ?)
    ON CONFLICT(symbol) DO UPDATE SET at=excluded.at, price=excluded.price"""


class Broken(OneLane):
    """Whoever comes last wins, however old."""

    schema = "CREATE TABLE IF NOT EXISTS quote(symbol TEXT PRIMARY KEY, at INTEGER NOT NULL, price INTEGER NOT NULL)"
    tables = (Table("quote", ("symbol",), ("at", "price")),)
    upsert = _UPSERT

    def step(self, number: int, handle: Handle) -> Step:
        """Store one quote, or an old one once more."""
        late = number % LATE_EVERY == 0
        at = number - 2 if late else number
        value = (at, 10_000 + at)

        def do() -> None:
            handle.connection.execute(self.upsert, value)

        # A late quote is old news: the program promises that it has no effect.
        return Step(number, () if late else (Effect("quote", ("EURUSD",), value),), do)


class Twin(Broken):
    """The newer quote stays."""

    upsert = f"{_UPSERT} WHERE excluded.at > quote.at"


CONTROL = Control(
    id="upsert-overwrites",
    title="upsert that overwrites an acked row",
    broken=f"{__name__}:Broken",
    twin=f"{__name__}:Twin",
    catches=("durability/acked-update-lost",),
    why="a late, older quote overwrites the newer acked one, since the upsert has no condition",
    faults=("kill@ack#9", "none"),
    params={"steps": 18},
)
