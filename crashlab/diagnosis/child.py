"""Work on files in a process of its own, so that hostile bytes can end, slow or exhaust only that.

A job is a script that ends in `answer(JOBS)`; order and answer are one JSON object each.
"""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from crashlab import errors
from crashlab.errors import CrashlabError, LabError, LimitError

Job = Callable[[dict[str, Any]], dict[str, Any]]
MEMORY_MAX = 4 << 30


def ask_child(script: Path, job: str, order: Mapping[str, Any], *, what: str, seconds: float) -> dict[str, Any]:
    """Run one job of a script and return its answer; see :class:`Child`."""
    with Child(script, job, order, what=what) as child:
        return child.answer(seconds)


class Child:
    """One job of a script under way, so that others can run beside it; it has ended when the context is left.

    `what` names the whole work in messages. Raises LabError where the process can't start.
    """

    def __init__(self, script: Path, job: str, order: Mapping[str, Any], *, what: str) -> None:
        import subprocess

        self._job, self._what = job, what
        line = [sys.executable, "-I", str(script)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise LabError(f"can't start a process for {what}: {error}") from error
        if self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as order_pipe:
                order_pipe.write(json.dumps({"job": job, **order}).encode())
            self._process.stdin = None  # or communicate would flush it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def answer(self, seconds: float) -> dict[str, Any]:
        """Wait for the answer, once.

        Raises:
            LimitError: it took longer than `seconds`. LabError: the process died.
            CrashlabError: what the job raised.
        """
        from subprocess import TimeoutExpired

        try:
            output, complaints = self._process.communicate(timeout=seconds)
        except TimeoutExpired:
            raise LimitError(f"{self._what} took longer than it was given ({self._job}); --deadline") from None
        try:
            answered = json.loads(output)
        except ValueError:
            last = complaints.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            code = self._process.returncode
            raise LabError(f"a process of {self._what} ({self._job}) ended with code {code}: {last[0]}") from None
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
