"""Running the steps of a failed run again, without Hypothesis."""

from collections.abc import Callable
from typing import Any

from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError, did_you_mean
from harness.machines.books import Books
from harness.machines.driver import Driver
from harness.machines.messages import Messages
from harness.machines.runs import Runs
from harness.machines.system import System

SYSTEMS: dict[str, Callable[..., System]] = {Books.name: Books, Messages.name: Messages, Runs.name: Runs}


def replay(system: str, steps: str, *, synchronous: str = "FULL", **options: Any) -> None:
    """Run steps as a failure printed them; raises what they raise.

    `options`: of the system, `store` for another class than the good one.

    Raises:
        UsageError: an unknown system or step.
        DisagreementError: the store is in a state that its model does not allow.
    """
    if system not in SYSTEMS:
        raise UsageError(f"system {system!r}; known: {', '.join(SYSTEMS)}{did_you_mean(system, SYSTEMS)}")
    made = SYSTEMS[system](**options)
    with Workspace() as space:
        driver = Driver(made, space, synchronous=synchronous)
        try:
            for line in filter(None, map(str.strip, steps.splitlines())):
                driver.run(line)
        finally:
            driver.close()


def snippet(driver: Driver) -> str:
    """Return Python that runs a driver's steps again."""
    system = driver.system
    good = SYSTEMS[system.name]()
    options = "".join(
        f", {name}={value.__name__ if isinstance(value, type) else repr(value)}"
        for name, value in system.options().items()
        if value != good.options()[name]
    )
    imports = "from harness.machines.replay import replay"
    if system.store is not good.store:
        imports += f"\nfrom {system.store.__module__} import {system.store.__name__}"
    steps = "\n".join(driver.steps)
    return (
        f"Replay, {len(driver.steps)} steps:\n\n{imports}\n\n"
        f'replay("{system.name}", r"""\n{steps}\n""", synchronous="{driver.synchronous}"{options})\n'
    )
