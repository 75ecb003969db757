"""A store in a running session, and a clock that the test sets."""

from collections.abc import Callable

import pytest

from store import StateManager

START = 1_700_000_000 * 10**9
DAY = 24 * 3600 * 10**9


class HandClock:
    """Stands still unless it is moved: many events fall on one instant."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def books(make: Callable[..., StateManager], clock: HandClock) -> StateManager:
    return make(clock=clock)


@pytest.fixture
def dump() -> Callable[[StateManager], dict[str, list[tuple[object, ...]]]]:
    """Everything in the database, by table."""

    def rows(store: StateManager) -> dict[str, list[tuple[object, ...]]]:
        names = store._read("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {name: store._read(f"SELECT * FROM {name} ORDER BY 1") for (name,) in names}

    return rows
