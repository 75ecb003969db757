"""The good stores are what their models say, whatever the machines do to them; broken ones are not."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from harness.machines import broken
from harness.machines.books_machine import BooksMachine
from harness.machines.judgement import DisagreementError
from harness.machines.messages_machine import MessagesMachine
from harness.machines.profiles import machine_settings
from harness.machines.runs_machine import RunsMachine

QUICK_RUNS = 12


class TruncatingMachine(MessagesMachine):
    """The message log with TRUNCATE every third write."""

    mode = "TRUNCATE"


GOOD = (BooksMachine, MessagesMachine, RunsMachine)


@pytest.mark.parametrize("machine", GOOD, ids=lambda machine: machine.__name__)
def test_good_store(machine):
    run_state_machine_as_test(machine, settings=settings(machine_settings("ci"), max_examples=QUICK_RUNS))


@pytest.mark.slow
@pytest.mark.parametrize("machine", GOOD, ids=lambda machine: machine.__name__)
def test_good_store_for_longer(machine):
    run_state_machine_as_test(machine, settings=machine_settings("ci"))


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("machine", [*GOOD, TruncatingMachine], ids=lambda machine: machine.__name__)
def test_good_store_all_night(machine):
    run_state_machine_as_test(machine, settings=machine_settings("nightly"))


SEEN = (
    (BooksMachine, broken.TotalWithoutOverlay),
    pytest.param(BooksMachine, broken.NeverSynced, marks=pytest.mark.slow),
    (MessagesMachine, broken.BatchRowByRow),
    (MessagesMachine, broken.NoUpdateTrigger),
    (RunsMachine, broken.CancelOverwrites),
    (RunsMachine, broken.ArchivesFirst),
    (RunsMachine, broken.BlanketFail),
)
"""Among them those that only a machine sees: they need an I/O error, or a restart of one of two."""


@pytest.mark.parametrize(("machine", "store"), SEEN, ids=lambda what: what.__name__)
def test_broken_store(machine, store):
    """Drawn as in `ci`, without shrinking; more runs, so that an edited draw does not decide which bugs are seen."""
    hunted = type(f"{store.__name__}Machine", (machine,), {"store": store})
    bounds = settings(machine_settings("ci"), phases=[Phase.generate], report_multiple_bugs=False, max_examples=300)
    with pytest.raises(DisagreementError) as caught:
        run_state_machine_as_test(hunted, settings=bounds)
    notes = "".join(getattr(caught.value, "__notes__", []))
    assert "replay(" in notes
    assert f"store={store.__name__}" in notes
