import logging

import pytest


@pytest.fixture(autouse=True)
def quiet_store():
    """The stores warn of what is done to them here, thousands of times."""
    log = logging.getLogger("store")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)
