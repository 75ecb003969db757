"""The bench of recording at the system calls: a recorded program beside the same untouched, both on one processor."""

import os
from collections.abc import Iterator

from crashlab.decide.bench import Figure
from crashlab.decide.bench_program import bench_recording
from crashlab.errors import TapUnavailableError
from crashlab.writers.record.seccomp import launch_tree, seccomp_problem

__all__ = ["WANTED", "bench_seccomp"]

WANTED = "at least 0.29 of untouched (3.5 times its time)"


def bench_seccomp(*, rounds: int, workspace: str | None = None) -> Iterator[Figure]:
    """As `bench_program`, the program and its recorder sharing one processor; the recorder's own start is not counted.

    Raises:
        TapUnavailableError: programs cannot be recorded so here.
    """
    problem = seccomp_problem()
    if problem is not None:
        raise TapUnavailableError(f"bench seccomp: {problem}")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        name = "recording at the system calls, on one processor,"
        yield from bench_recording(launch_tree, name, WANTED, rounds=rounds, workspace=workspace)
    finally:
        os.sched_setaffinity(0, allowed)
