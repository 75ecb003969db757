"""What a writer may ask for by the name of a parameter."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from crashlab.errors import UsageError, did_you_mean

__all__ = ["DATABASE", "NAMES", "Place", "bind"]

DATABASE = "writer.db"
"""The file that a writer is handed, in its private directory."""


class Place(StrEnum):
    """Something that only the child can give."""

    DATABASE = "database"
    DIRECTORY = "directory"
    ACK = "ack"


NAMES: Mapping[str, Place] = {
    "db": Place.DATABASE,
    "path": Place.DATABASE,
    "database": Place.DATABASE,
    "db_path": Place.DATABASE,
    "directory": Place.DIRECTORY,
    "tmp_path": Place.DIRECTORY,
    "ack": Place.ACK,
}


def bind(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call, by name: those given, and a `Place` for what the child is to fill in.

    Raises:
        UsageError: a parameter that is neither given nor known and has no default, or a given one that is none.
    """
    name = getattr(function, "__qualname__", repr(function))
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise UsageError(
            f"writer {name}: expected a plain function, or a script as a Path or a list of words"
        ) from None
    found: dict[str, Any] = {}
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise UsageError(f"writer {name}: parameter {parameter.name!r} is positional-only; expected a name to use")
        if parameter.name in NAMES:
            found[parameter.name] = NAMES[parameter.name]
        elif parameter.name in given:
            found[parameter.name] = given[parameter.name]
        elif parameter.default is parameter.empty:
            raise UsageError(
                f"writer {name}: nothing is known for its parameter {parameter.name!r}; there are: "
                f"{', '.join(NAMES)}{did_you_mean(parameter.name, NAMES)}; or give it a value in arguments="
            )
    unknown = set(given) - set(parameters)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if unknown and not takes_any:
        raise UsageError(f"writer {name}: it has no parameter {sorted(unknown)[0]!r}")
    return {**found, **({key: given[key] for key in unknown} if takes_any else {})}
