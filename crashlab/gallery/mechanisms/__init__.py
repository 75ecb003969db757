"""The exhibits, one file a mechanism, each named by its letter in the documentation's list of mechanisms."""

import importlib
import pkgutil

from crashlab.gallery.exhibit import Exhibit

__all__ = ["load_exhibits"]


def load_exhibits() -> dict[str, Exhibit]:
    """Load all exhibits, by id, in the order of their letters.

    Every module here has `EXHIBITS`, a tuple; modules with a leading underscore hold what several share.
    """
    found: list[Exhibit] = []
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            found += importlib.import_module(f"{__name__}.{module.name}").EXHIBITS
    return {exhibit.id: exhibit for exhibit in sorted(found, key=_order)}


def _order(exhibit: Exhibit) -> tuple[str, int, str]:
    letter = exhibit.letter
    number = letter[1:]
    return letter[:1], int(number) if number.isdigit() else 0, exhibit.id
