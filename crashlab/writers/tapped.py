"""The tap inside a writer, as its order says."""

from collections.abc import Callable

from crashlab.log.writer import LogWriter
from crashlab.sqlite.tap import Failer, Failure, Killer, Listener, Recorder, Seed, Selector, Tap
from crashlab.writers.order import TapPlan
from crashlab.writers.record import PlainFiles


def build_tap(plan: TapPlan | None, log: LogWriter, directory: str, phase: Callable[[], str]) -> Tap | None:
    """Make the tap that a plan describes, not yet installed; None without a plan.

    Everything that it does is marked FIRED in the log just before it is done.
    """
    if plan is None:
        return None
    listeners: list[Listener] = []
    if plan.seed is not None:
        listeners.append(Seed(plan.seed))
    if plan.selector:
        selector = Selector.parse(plan.selector)
        if plan.failure:
            failure = Failure(plan.failure)
            listeners.append(Failer(selector, failure, persistent=plan.persistent, on_fire=log.fired))
        else:
            torn = plan.torn_bytes if plan.torn_bytes >= 0 else None
            listeners.append(Killer(selector, torn_bytes=torn, on_fire=log.fired))
    recorder = Recorder(log, directory, directory_syncs=plan.directory_syncs) if plan.record else None
    return Tap(*listeners, recorder=recorder, phase=phase)


def build_plain_files(plan: TapPlan | None, log: LogWriter, directory: str) -> PlainFiles | None:
    """Make the recorder of the program's own files, not yet installed; None when the plan records nothing."""
    if plan is None or not plan.record:
        return None
    return PlainFiles(log, directory, directory_syncs=plan.directory_syncs)
