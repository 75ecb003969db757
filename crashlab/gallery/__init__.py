"""Field failures that can be reproduced on this machine, each with its control. The catalogue is here.

An exhibit's code is loaded only when it is run: listing costs nothing.
"""

from dataclasses import dataclass

from crashlab.errors import UsageError, did_you_mean

__all__ = ["EXHIBITS", "Exhibit", "find_exhibit"]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What can be reproduced: its name on the command line, a title, and what it needs here."""

    name: str
    title: str
    needs: str


EXHIBITS: dict[str, Exhibit] = {
    exhibit.name: exhibit
    for exhibit in (
        Exhibit(
            "s38",
            "the console is closed while the engine writes; what that loses, and what losing the -wal loses",
            "Linux with a pseudo-terminal",
        ),
    )
}


def find_exhibit(name: str) -> Exhibit:
    """Return the exhibit of that name, whatever its case.

    Raises:
        UsageError: there is none.
    """
    exhibit = EXHIBITS.get(name.casefold())
    if exhibit is None:
        raise UsageError(
            f"unknown exhibit {name!r}, known: {', '.join(EXHIBITS)} ('crashlab repro --list' describes them)"
            f"{did_you_mean(name, EXHIBITS)}"
        )
    return exhibit
