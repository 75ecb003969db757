"""Whether the trees that list a table's rows list the rows it has: indexes, and what a full-text table keeps.

By the number of entries and a sum over all rowids, so that a gigabyte takes no memory. That catches the rows
that one tree has and another hasn't, as a commit lost in the middle leaves them; not a wrong key of a right row.
"""

import re
from collections.abc import Mapping, Sequence

from crashlab.sqlite.accounting import TreeUse
from crashlab.sqlite.ledger import Ledger
from crashlab.sqlite.problems import Kind
from crashlab.sqlite.schema import Purpose, Tree

__all__ = ["compare_contents", "lists_of"]

_WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)


def lists_of(trees: Sequence[Tree]) -> Mapping[int, int]:
    """Index of each tree that must list every row of a table -> index of that table's tree.

    A partial index need not, and is not among them. FTS5 and FTS4 keep the size of every document.
    """
    by_name = {tree.name.lower(): at for at, tree in enumerate(trees) if not tree.index}
    found: dict[int, int] = {}
    for at, tree in enumerate(trees):
        name = tree.name.lower()
        if tree.index and not _WHERE.search(tree.sql):
            table = by_name.get(tree.table.lower())
        elif tree.purpose is Purpose.FTS_INDEX and name.endswith("_docsize"):
            table = by_name.get(name.removesuffix("docsize") + "content")
        else:
            continue
        if table is not None:
            found[at] = table
    return found


def compare_contents(ledger: Ledger, uses: Sequence[TreeUse], sums: Sequence[int], summed: Sequence[bool]) -> None:
    """Note the lists that differ from their table. ``sums`` are of rowids, where ``summed`` says all were seen.

    A tree that could not be followed is left out: what it lists is not known.
    """
    for at, table in lists_of(ledger.trees).items():
        listed, rows = uses[at], uses[table]
        if listed.problems or rows.problems or listed.table is None or rows.table is None:
            continue
        if listed.entries != rows.entries:
            detail = f"{listed.entries} entries, {rows.tree.name} has {rows.entries} rows"
            ledger.problem(Kind.INDEX_COUNT, tree=at, detail=detail)
        elif rows.table and summed[at] and sums[at] != sums[table]:
            detail = f"as many as {rows.tree.name} has, {rows.entries}"
            ledger.problem(Kind.INDEX_ROWS, tree=at, detail=detail)
