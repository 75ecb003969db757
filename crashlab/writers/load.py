"""Importing a workload by its name `module:attr`."""

import difflib
import importlib
import sys
from typing import Any

from crashlab.errors import SubjectError


def load_workload(name: str) -> Any:
    """Import the object named `module:attr`; a class is called to make the workload.

    Raises:
        SubjectError: the form is wrong, the module does not import, or has no such attribute.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise SubjectError(f"workload {name!r}: expected the form 'module:attr', e.g. 'myapp.lab:workload'")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise SubjectError(
            f"workload {name!r}: module {module_name!r} does not import ({type(error).__name__}: {error}); "
            "is its directory named by `path` in crashlab.toml?"
        ) from error
    found = getattr(module, attribute, None)
    if found is None:
        near = difflib.get_close_matches(attribute, dir(module), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SubjectError(f"workload {name!r}: module {module_name!r} has no {attribute!r}{hint}")
    workload = found() if isinstance(found, type) else found
    missing = [
        part for part in ("open", "lanes", "steps", "restart", "tables", "contract") if not hasattr(workload, part)
    ]
    if missing:
        raise SubjectError(f"workload {name!r}: has no {', '.join(missing)}: see crashlab.model.workload.Workload")
    return workload


def extend_path(entries: tuple[str, ...]) -> None:
    """Put the directories that a configuration names in front of the import path, once."""
    for entry in reversed(entries):
        if entry not in sys.path:
            sys.path.insert(0, entry)
