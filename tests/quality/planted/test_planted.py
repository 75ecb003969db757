"""Each planted bug is caught by its named invariant; its twin, the good program, by nothing."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

import harness.planted
from crashlab.decide.planted import Planted, Told, seek
from crashlab.engine.workspace import Workspace
from harness.planted import PLANTED
from harness.workloads import invariants as manager_invariants
from harness.workloads.agent_memory import invariants as memory_invariants
from harness.workloads.paper_session.checks import BOOKS
from harness.workloads.run_ledger import invariants as ledger_invariants

CHECKS = {
    "manager": manager_invariants.CHECKS,
    "memory": memory_invariants.CHECKS,
    "ledger": ledger_invariants.CHECKS,
    "books": BOOKS,
}
"""Every check of a workload has a planted bug that it catches."""

SECONDS = 60.0


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with Workspace() as made:
        yield made


def in_its_lane(planted: Planted) -> object:
    """Three of the first store's keep the default lane honest; each takes seconds."""
    quick = planted.id in ("no-lock", "close-without-truncate", "close-leaks")
    return pytest.param(planted, id=planted.id, marks=[] if quick else pytest.mark.slow)


@pytest.mark.parametrize("planted", [in_its_lane(planted) for planted in PLANTED])
def test_its_own_invariant_catches_it_and_its_twin_is_clean(planted: Planted, workspace: Workspace) -> None:
    result = seek(planted, workspace, path=(), seed=0, seconds=SECONDS)
    assert result.told is Told.CAUGHT, result.detail
    assert result.trials
    assert result.twin_trials


@pytest.mark.parametrize("package", CHECKS)
def test_every_check_has_a_planted_bug(package: str) -> None:
    mine = [planted for planted in PLANTED if f".{package}." in planted.module]
    broken = {planted.invariant for planted in mine if planted.oracle == "books"}
    assert broken == {check.name for check in CHECKS[package]}


def packages() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(harness.planted.__path__):
        yield importlib.import_module(f"harness.planted.{found.name}")


def test_each_file_holds_one_planted_bug() -> None:
    files = {f"{each.__name__}.{found.name}" for each in packages() for found in pkgutil.iter_modules(each.__path__)}
    assert {name for name in files if not name.rpartition(".")[2].startswith("_")} == {each.module for each in PLANTED}
    assert len({planted.id for planted in PLANTED}) == len(PLANTED)
