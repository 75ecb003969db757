"""What is wrong with one view of the database, tree by tree."""

from dataclasses import replace

import numpy as np

from crashlab.diagnosis.autopsy.bits import flipped_page_bits, turned
from crashlab.diagnosis.autopsy.report import Damage
from crashlab.sqlite.accounting import Accounting
from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.indexes import check_index
from crashlab.sqlite.pages import PageSource
from crashlab.sqlite.problems import Kind, Scope
from crashlab.sqlite.walk import walk

__all__ = ["SOUND", "damage_of", "one_bit_keys", "owners_of", "with_keys"]

SOUND = "sound"
KEYS, TREES = "keys", "trees"
LINES_MAX = 20
REPAIR_PAGES_MAX = 5_000  # a repair is proven by walks over the whole database
REPAIR_WALKS_MAX = 12
INDEX_ENTRIES_MAX = 200_000


def damage_of(source: PageSource, *, repair: bool = True) -> tuple[Damage, Accounting]:
    """Walk all trees; `repair` looks for a single bit that makes everything sound again."""
    found = walk(source)
    if not found.problems:
        return Damage(SOUND), found
    lines = tuple(map(str, found.problems.listed[:LINES_MAX]))
    trees = {use.tree.name: use.problems for use in found.damaged}
    bit = _repair(source, found) if repair else ""
    kinds = {kind for kind in found.problems.kinds if kind is not Kind.NEVER_USED}
    where = KEYS if kinds and kinds <= {Kind.INDEX_COUNT, Kind.INDEX_ROWS} else TREES
    return Damage(str(found.scope or SOUND), where, found.problems.total, lines, trees, bit), found


def with_keys(damage: Damage, source: PageSource, found: Accounting) -> Damage:
    """Add what a comparison of every index's keys with its table finds; the small ones only."""
    lines, trees = list(damage.lines), dict(damage.trees)
    repair, total = damage.repair, damage.total
    for use in found.trees:
        if not use.tree.index or use.entries > INDEX_ENTRIES_MAX:
            continue
        check = check_index(source, found.schema, use.tree)
        if check.reason or check.same:
            continue
        count = max(1, check.missing_count + check.extra_count)
        total, trees[check.index] = total + count, trees.get(check.index, 0) + count
        lines.append(
            f"{check.index}: {check.missing_count} entries that rows of {check.table} call for are missing,"
            f" {check.extra_count} belong to no row"
        )
        if check.missing_count == 1 and check.extra_count == 1 and one_bit_keys(check.missing[0], check.extra[0]):
            repair = f"the entry that {check.index} has and the one that {check.table} calls for differ in one bit"
    if total == damage.total:
        return damage
    scope = str(Scope.INDEX) if damage.scope in (SOUND, Scope.SPACE) else damage.scope
    return Damage(scope, damage.where or KEYS, total, tuple(lines[:LINES_MAX]), trees, repair)


def one_bit_keys(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Whether two index keys differ in a single bit of a single value."""
    unlike = [(a, b) for a, b in zip(one, other, strict=False) if a != b]
    if len(one) != len(other) or len(unlike) != 1:
        return False
    a, b = (_raw(value) for value in unlike[0])
    return len(a) == len(b) and (int.from_bytes(a) ^ int.from_bytes(b)).bit_count() == 1


def _raw(value: object) -> bytes:
    if isinstance(value, int):
        return (value & ((1 << 64) - 1)).to_bytes(8)
    if isinstance(value, float):
        return np.float64(value).tobytes()
    if isinstance(value, str):
        escaped = any("\udc80" <= letter <= "\udcff" for letter in value)  # bytes that are no UTF-8
        return value.encode("utf-8", "replace" if not escaped else "surrogateescape")
    return value if isinstance(value, bytes) else b""


def _repair(source: PageSource, found: Accounting) -> str:
    """The one bit of a page's header after whose turn nothing is wrong any more, in words; else empty."""
    if source.pages > REPAIR_PAGES_MAX:
        return ""
    suspects = sorted({problem.page for problem in found.problems.listed if problem.page})[:32]
    walks = 0
    for page in suspects:
        raw = source.page(page)
        for flip in flipped_page_bits(raw, page, source.usable):
            walks += 1
            if walks > REPAIR_WALKS_MAX:
                return ""
            if not walk(_with_page(source, page, turned(raw, flip))).problems:
                return f"bit {flip.bit} of byte {flip.byte} of page {page} turned over makes everything sound again"
    return ""


def _with_page(source: PageSource, page: int, raw: bytes) -> PageSource:
    """The same pages but for one: all of them are put into memory behind one another."""
    size = source.page_size
    pages = b"".join(raw if number == page else source.page(number) for number in range(1, source.pages + 1))
    side = MemoryBuffer(pages)
    return replace(source, side=side, overlay={number: (number - 1) * size for number in range(1, source.pages + 1)})


def owners_of(found: Accounting) -> dict[int, str]:
    """Page -> name of the tree it belongs to."""
    owned = np.flatnonzero(found.owners >= 0).tolist()
    return {page: found.trees[int(found.owners[page])].tree.name for page in owned}
