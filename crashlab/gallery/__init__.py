"""Field failures that can be reproduced on this machine, each with its control.

`mechanisms/` holds the exhibits; `s38/` the close of a real console, and a tour of what can and cannot have
caused the field report of that name; `controls/` the small broken subjects with which a gate proves its eyes.
"""

from typing import TYPE_CHECKING

from crashlab.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from crashlab.gallery.exhibit import Exhibit

__all__ = ["ALL", "S38", "S38_TITLE", "find_exhibits"]

ALL = "all"
S38 = "s38"
S38_TITLE = "the console is closed while the engine writes; what can, and what cannot, leave a malformed file"


def find_exhibits(name: str) -> "tuple[Exhibit, ...]":
    """Return the exhibits that a name stands for, whatever its case: an id, a letter such as `A1`, or `all`.

    `all` leaves out those that take minutes.

    Raises:
        UsageError: no exhibit has that name.
    """
    from crashlab.gallery.mechanisms import load_exhibits

    exhibits = load_exhibits()
    wanted = name.casefold()
    if wanted == ALL:
        return tuple(exhibit for exhibit in exhibits.values() if exhibit.in_default_run)
    if wanted in exhibits:
        return (exhibits[wanted],)
    found = tuple(exhibit for exhibit in exhibits.values() if exhibit.letter.casefold() == wanted)
    if not found:
        known = [ALL, S38, *exhibits, *{exhibit.letter.casefold() for exhibit in exhibits.values()}]
        raise UsageError(
            f"unknown exhibit {name!r}; 'crashlab repro --list' shows all {len(exhibits)}{did_you_mean(name, known)}"
        )
    return found
