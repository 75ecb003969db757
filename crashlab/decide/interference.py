"""The gate's row for programs that promise to notice a damaged file: refused, never recreated."""

from collections.abc import Iterator

from crashlab.faults.damage import Damage
from crashlab.model.case import Case
from crashlab.model.contract import Contract, Durability
from crashlab.model.seed import rng_for, subseed

GROUP = "interference"
ROW = "damaged main file: refused, or nothing lost"
TRIALS = 36

# Roots of the first tables and indexes, made with the schema: always b-tree pages, whatever the run did.
_PAGES = (2, 3, 4)
# Any of the upper four bits makes a b-tree page's type byte one that does not exist
# (https://sqlite.org/fileformat2.html#b_tree_pages), so that every check must see it.
_TYPE_BITS = (4, 5, 6, 7)
_MAGIC_BYTES = 15


def promises_to_notice(contract: Contract) -> bool:
    """True if the subject promises that interference loses nothing (it may refuse to start)."""
    return contract.interference.durability is Durability.ALL


def damage_cases(subject: str, seed: int) -> Iterator[Case]:
    """Yield cases that damage the main file of a cleanly closed database where any check must see it."""
    for number in range(TRIALS):
        case_seed = subseed(seed, "damage", number)
        rng = rng_for(case_seed, "fault")
        page = rng.choice(_PAGES)
        match number % 3:
            case 0:
                fault = Damage("main", "page", page, bit=rng.choice(_TYPE_BITS))
            case 1:
                fault = Damage("main", offset=rng.randint(0, _MAGIC_BYTES), bit=rng.randint(0, 6))
            case _:
                fault = Damage("main", "page", page, op="truncate")
        yield Case(subject, case_seed, str(fault))
