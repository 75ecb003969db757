"""Run by every Python that `crashlab run -- COMMAND` starts, before its program; then it gets out of the way.

See `crashlab.writers.program.launch`, which writes the environment variable that is read here.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100 - in other people's programs


def _begin() -> None:
    told = os.environ.get("CRASHLAB_PROGRAM_RUN")
    if not told:
        return
    order = eval(told, {"__builtins__": {}})  # a literal of the lab's; `json` and `ast` take milliseconds to load
    before, quiet = list(sys.path), sys.dont_write_bytecode
    sys.path[:0] = order["path"]  # the program keeps its own
    sys.dont_write_bytecode = False  # or another Python than the lab's would compile the lab anew each time
    try:
        from crashlab.writers.program.begin import begin

        begin(order)
    finally:
        sys.path[:] = before
        sys.dont_write_bytecode = quiet


def _next_one() -> None:
    """Load the sitecustomize that this one hides, if there is one."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]  # noqa: PTH100
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        if ours is not None:
            sys.modules["sitecustomize"] = ours  # the import that is under way expects one


_begin()
_next_one()
