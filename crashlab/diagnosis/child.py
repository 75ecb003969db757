"""Work on files in a process of its own, so that hostile bytes can end, slow or exhaust only that.

A job is a script that ends in `answer(JOBS)`; order and answer are one JSON object each.
"""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crashlab import errors
from crashlab.errors import CrashlabError, LabError, LimitError

Job = Callable[[dict[str, Any]], dict[str, Any]]
MEMORY_MAX = 4 << 30


def ask_child(script: Path, job: str, order: Mapping[str, Any], *, what: str, seconds: float) -> dict[str, Any]:
    """Run one job of a script and return its answer. `what` names the whole work in messages.

    Raises:
        LimitError: it took longer than `seconds`. LabError: the process could not start, or died.
        CrashlabError: what the job raised.
    """
    import subprocess

    try:
        done = subprocess.run(
            [sys.executable, "-I", str(script)],
            input=json.dumps({"job": job, **order}).encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LimitError(f"{what} took longer than it was given ({job}); --deadline") from None
    except OSError as error:
        raise LabError(f"can't start a process for {what}: {error}") from error
    try:
        answered = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise LabError(f"a process of {what} ({job}) ended with code {done.returncode}: {last[0]}") from None
    if "error" in answered:
        raise getattr(errors, answered["kind"])(answered["error"])
    found: dict[str, Any] = answered["answer"]
    return found


def answer(jobs: Mapping[str, Job]) -> None:
    """In the script: do what the order on standard input says, within limits, and answer on standard output."""
    order = json.load(sys.stdin)
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        answered: dict[str, Any] = {"answer": jobs[order["job"]](order)}
    except CrashlabError as error:
        answered = {"error": str(error), "kind": type(error).__name__}
    except MemoryError:
        answered = {"error": f"needs more than {MEMORY_MAX} bytes of memory", "kind": LimitError.__name__}
    # Names from hostile files are no valid UTF-8 and come as lone surrogates, which no JSON reader takes back.
    sys.stdout.buffer.write(json.dumps(answered, ensure_ascii=False).encode("utf-8", "replace"))
