"""All short sequences, every kill point: the good stores pass, the broken ones do not."""

from functools import partial

import pytest

from crashlab.errors import UsageError
from harness.machines import broken
from harness.machines.alphabets import ALPHABETS
from harness.machines.exhaustive import exhaust, replay_word
from harness.machines.judgement import DisagreementError

SEEN = (
    ("books", broken.FillApartFromLedger, ("fill",)),
    ("books", broken.HaltOnlyIfDifferent, ("shutdown",)),
    ("books", broken.StartInPieces, ("recover",)),
    ("books", broken.NeverSynced, ("fill", "cancel")),
    ("messages", broken.NoUpdateTrigger, ("append", "edit")),
    ("messages", broken.CompactInTwo, ("append", "compact")),
    ("messages", broken.WalRemovedAtStart, ("append",)),
    ("runs", broken.CancelOverwrites, ("mark", "complete", "cancel")),
    ("runs", broken.LoaderRevives, ("mark", "cancel")),
)
"""With the letters that matter: a part of what the good stores go through."""


@pytest.mark.parametrize("system", ALPHABETS)
def test_all_sequences_of_two(system):
    report = exhaust(ALPHABETS[system], length=2, losses=1, torn=1)
    assert not report.findings, str(report)
    assert report.sequences == 6 + 36
    assert report.kills > 400
    assert report.contents > 8


@pytest.mark.parametrize("system", ALPHABETS)
def test_under_normal_a_power_loss_takes_a_suffix(system):
    report = exhaust(ALPHABETS[system], length=3, sample=3, losses=2, torn=0, synchronous="NORMAL")
    assert not report.findings, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("system", ALPHABETS)
def test_all_sequences_of_three(system):
    report = exhaust(ALPHABETS[system], length=3)
    assert not report.findings, str(report)
    assert report.sequences == 6 + 36 + 216


@pytest.mark.parametrize(("system", "store", "letters"), SEEN, ids=lambda what: getattr(what, "__name__", None))
def test_broken_store(system, store, letters):
    good = ALPHABETS[system]
    some = {letter: good.letters[letter] for letter in letters}
    report = exhaust(good._replace(system=partial(good.system, store), letters=some), length=2, findings_max=1)
    assert report.findings
    assert "replay_word(" in report.findings[0]
    assert not exhaust(good._replace(letters=some), length=2, losses=0).findings, "the good twin passes"


def test_the_replay_of_a_finding_finds_it_again():
    alphabet = ALPHABETS["books"]._replace(system=partial(ALPHABETS["books"].system, broken.FillApartFromLedger))
    finding = exhaust(alphabet, length=1, losses=0, findings_max=1).findings[0]
    call = finding[finding.index("replay_word(") :]
    words = {"ALPHABETS": {"books": alphabet}, "replay_word": replay_word}
    with pytest.raises(DisagreementError):
        eval(call, words)


def test_the_same_seed_looks_at_the_same():
    first, second = (exhaust(ALPHABETS["runs"], length=2, sample=4, seed=3) for _ in range(2))
    assert first == second


def test_bounds():
    with pytest.raises(UsageError, match="length 0"):
        exhaust(ALPHABETS["books"], length=0)
    with pytest.raises(UsageError, match="length 9"):
        exhaust(ALPHABETS["books"], length=9)
