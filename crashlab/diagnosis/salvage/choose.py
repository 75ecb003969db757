"""Which of the possible databases to take when nobody says, and what each of them holds."""

from collections.abc import Iterable

import msgspec

from crashlab.diagnosis.salvage.generations import CHAIN, MAIN, Sources
from crashlab.diagnosis.salvage.report import Choice
from crashlab.sqlite.problems import Scope
from crashlab.sqlite.schema import Purpose
from crashlab.sqlite.walk import walk

__all__ = ["RULE", "default_choice", "listed", "looked_at"]

RULE = "least damage first, then least doubt, then most commits in a valid chain; the main file alone has none"
LISTED_MAX = 40
"""Commits of a generation that are listed: the last ones."""
LOOKS_PAGES_MAX = 100_000
"""Pages walked in all to count rows for a list."""
_SEVERITY = {"sound": 0, Scope.SPACE: 1, Scope.INDEX: 2, Scope.FTS: 3, Scope.STRUCTURE: 4}


def looked_at(sources: Sources, name: str) -> Choice:
    """A choice with its damage and its rows by table, counted in the pages."""
    found = walk(sources.view(name))
    tables = (Purpose.TABLE, Purpose.FTS_CONTENT)
    rows = {use.tree.name: use.entries for use in found.trees if use.tree.purpose in tables}
    scope = str(found.scope or "sound") if found.pages else str(Scope.STRUCTURE)
    return msgspec.structs.replace(sources.choice(name), scope=scope, problems=found.problems.total, rows=rows)


def default_choice(sources: Sources) -> tuple[Choice, tuple[Choice, ...]]:
    """The choice by RULE, and the others that it was compared with."""
    names = [MAIN, *(f"{each.number}:{each.commits}" for each in sources.generations if each.kind == CHAIN)]
    choices = [looked_at(sources, name) for name in names]
    best = min(choices, key=lambda each: (_SEVERITY[each.scope], bool(each.marks), -each.commits))
    return best, tuple(each for each in choices if each is not best)


def others(sources: Sources, taken: Iterable[str]) -> tuple[Choice, ...]:
    """The last commit of every generation that is not among those taken, unseen."""
    known = set(taken)
    names = [f"{each.number}:{each.commits}" for each in sources.generations]
    return tuple(sources.choice(name) for name in names if name not in known)


def listed(sources: Sources) -> tuple[tuple[Choice, ...], int]:
    """The choices to show, the last ones looked at as far as LOOKS_PAGES_MAX goes; and how many are not shown."""
    names, hidden = [MAIN], 0
    for each in sources.generations:
        first = max(1, each.commits - LISTED_MAX + 1)
        hidden += first - 1
        names += [f"{each.number}:{commit}" for commit in range(first, each.commits + 1)]
    budget, choices = LOOKS_PAGES_MAX, {}
    for name in reversed(names):
        cost = sources.view(name).pages
        if cost <= budget:
            choices[name] = looked_at(sources, name)
            budget -= cost
        else:
            choices[name] = sources.choice(name)
    return tuple(choices[name] for name in names), hidden
