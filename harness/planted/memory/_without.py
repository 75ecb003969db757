"""A schema that lacks a statement."""

from collections.abc import Sequence

from store.schema import Migration


def without(migrations: Sequence[Migration], start: str) -> tuple[Migration, ...]:
    """The migrations without the statements that begin with `start`."""
    return tuple(
        each._replace(statements=tuple(one for one in each.statements if not one.startswith(start)))
        for each in migrations
    )
