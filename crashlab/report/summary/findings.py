"""Findings told once: by identity, with a count and a few witnesses each."""

import shlex
from typing import Any

import msgspec

from crashlab.model.story import Story
from crashlab.report.summary.facts import TRIALS, Found, Witness
from crashlab.report.summary.trials import TrialFacts

__all__ = ["Findings"]

IDENTITIES_MAX = 500
WITNESSES_MAX = 2
TEXT_MAX = 2000


class Findings:
    """Takes failing trials one by one. `over`: findings of identities beyond the cap."""

    def __init__(self) -> None:
        self.over = 0
        self._counts: dict[str, dict[str, int]] = {}
        self._messages: dict[str, str] = {}
        self._classes: dict[str, str] = {}
        self._witnesses: dict[str, list[Witness]] = {}

    def add(self, trial: TrialFacts, tail: tuple[str, ...] = (), counted: str = TRIALS) -> None:
        """Count each identity of a failing trial, and keep the trial if it is among the best witnesses.

        One that was kept with its story comes before one that was not; else the first.
        """
        for name, finding in {str(finding.identity): finding for finding in trial.findings}.items():
            if name not in self._counts and len(self._counts) >= IDENTITIES_MAX:
                self.over += 1
                continue
            counts = self._counts.setdefault(name, {})
            counts[counted] = counts.get(counted, 0) + 1
            self._messages.setdefault(name, finding.message[:TEXT_MAX])
            self._classes.setdefault(name, finding.identity.fault_class)
            kept = self._witnesses.setdefault(name, [])
            better = trial.case_dir and any(not witness.case_dir for witness in kept)
            if len(kept) < WITNESSES_MAX or better:
                kept.append(_witness(trial, finding.message, tail))
                kept.sort(key=lambda witness: (not witness.case_dir, witness.story is None))
                del kept[WITNESSES_MAX:]

    def count(self, identities: dict[str, int], counted: str) -> None:
        """Set the counts of identities that are counted elsewhere: states of an exploration, sites of a sweep."""
        for name, count in identities.items():
            if counted in self._counts.get(name, ()):
                self._counts[name][counted] = max(self._counts[name][counted], count)

    def found(self) -> tuple[Found, ...]:
        """Return the findings, the most frequent first."""
        names = sorted(self._counts, key=lambda name: (-sum(self._counts[name].values()), name))
        return tuple(
            Found(
                name,
                self._counts[name],
                self._messages[name],
                self._classes[name],
                tuple(self._witnesses[name]),
            )
            for name in names
        )


def _witness(trial: TrialFacts, message: str, tail: tuple[str, ...]) -> Witness:
    case, directory = trial.case, trial.case_dir
    computed = "@op=" in case.fault
    return Witness(
        trial.trial_id,
        case.fault[:TEXT_MAX],
        case.seed,
        msgspec.json.decode(case.params, type=dict[str, Any]),
        trial.fired[:TEXT_MAX],
        message[:TEXT_MAX],
        directory,
        shlex.join(["crashlab", "replay", directory, *tail]) if directory else "",
        shlex.join(["crashlab", "reduce", directory, *tail]) if directory and computed else "",
        msgspec.json.decode(trial.story, type=Story | None),
    )
