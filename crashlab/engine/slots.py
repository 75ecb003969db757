"""Slots: the processes that one trial in flight needs, kept warm between trials."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from crashlab.engine.judge_client import JudgeClient
from crashlab.engine.subject import Subject
from crashlab.errors import LabError, SubjectError, UsageError, did_you_mean
from crashlab.model.case import Param
from crashlab.writers.launcher import Launcher, make_launcher

MakeLauncher = Callable[[str, tuple[str, ...]], Launcher]


class Slot(NamedTuple):
    """A launcher of writers and a judge's process, for one trial at a time."""

    launcher: Launcher
    judge: JudgeClient

    def close(self) -> None:
        """End both."""
        try:
            self.launcher.close()
        finally:
            self.judge.close()


class Slots:
    """The slots of one subject, made when first needed; safe to use from several threads."""

    def __init__(self, subject: Subject, launcher: MakeLauncher = make_launcher) -> None:
        self.subject = subject
        self._make_launcher = launcher
        self._idle: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._all: list[Slot] = []
        self._closed = False

    @contextmanager
    def use(self) -> Iterator[Slot]:
        """Lend a slot. One whose use ended in anything but a complaint about the input is not used again.

        Raises:
            LabError: closed, or a process did not start.
            SubjectError: the workload does not import.
        """
        slot = self._take()
        sound = False
        try:
            yield slot
            sound = True
        except (UsageError, SubjectError):
            sound = True
            raise
        finally:
            if sound and not self._closed:
                self._idle.put(slot)
            else:
                slot.close()
                if slot in self._all:
                    self._all.remove(slot)

    def params(self, judge: JudgeClient, given: dict[str, Param]) -> dict[str, Param]:
        """Return the workload's parameters with the subject's and then `given` over them.

        Raises:
            UsageError: one of them is not declared by the workload.
        """
        overrides = {**self.subject.params, **given}
        for name in overrides:
            if name not in judge.params:
                known = ", ".join(sorted(judge.params)) or "none"
                raise UsageError(
                    f"subject {self.subject.name!r} has no parameter {name!r} (it declares: {known})"
                    f"{did_you_mean(name, judge.params)}"
                )
        return {**judge.params, **overrides}

    def _take(self) -> Slot:
        if self._closed:
            raise LabError("the road is closed: no more trials run on it")
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        judge = JudgeClient(self.subject.workload, self.subject.path)
        try:
            launcher = self._make_launcher(self.subject.workload, self.subject.path)
        except BaseException:
            judge.close()
            raise
        slot = Slot(launcher, judge)
        self._all.append(slot)
        return slot

    def close(self) -> None:
        """End every process; what is in use ends with an error."""
        self._closed = True
        for slot in list(self._all):
            slot.close()
        self._all.clear()
