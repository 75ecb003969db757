"""Run by every Python that `crashlab hazards` starts, before its program: begin to watch, then get out of the way.

See `crashlab.diagnosis.hazards.launch`, which writes the environment variable that is read here.
"""

import importlib
import json
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _begin() -> None:
    told = os.environ.get("CRASHLAB_HAZARDS_RUN")
    if not told:
        return
    order = json.loads(told)
    before = list(sys.path)
    sys.path[:0] = order["path"]  # the program keeps its own
    try:
        launched = importlib.import_module("crashlab.diagnosis.hazards.launch")
        launched.begin(order)
    except Exception as error:
        sys.stderr.write(f"crashlab: this Python is not watched: {type(error).__name__}: {error}\n")
    finally:
        sys.path[:] = before


def _next_one() -> None:
    """Load the sitecustomize that this one hides, if there is one."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]
    ours = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")
    except ImportError:
        if ours is not None:
            sys.modules["sitecustomize"] = ours  # the import that is under way expects one


_begin()
_next_one()
