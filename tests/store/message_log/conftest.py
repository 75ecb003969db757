"""Fixtures of the message log's tests."""

from collections.abc import Callable

import pytest

from store import MessageLog


@pytest.fixture
def log(make: Callable[..., MessageLog]) -> MessageLog:
    return make(cls=MessageLog)


@pytest.fixture
def talk(log: MessageLog) -> int:
    """A session of `log`."""
    return log.create_session()
