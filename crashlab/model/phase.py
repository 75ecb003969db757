"""The phases in which a writer can die, and reading them off a history."""

from enum import StrEnum

from crashlab.model.history import History, StepState


class Phase(StrEnum):
    """Where the writer was. `BETWEEN` is between steps, `STEP` inside one but outside its commit."""

    START_UP = "start-up"
    STEP = "step"
    COMMIT = "commit"
    COMMIT_ACK = "commit-ack"
    CHECKPOINT = "checkpoint"
    CLOSE_BEFORE = "close-before"
    CLOSE_TRUNCATE = "close-truncate"
    CLOSE_AFTER = "close-after"
    BETWEEN = "between"


# What the log itself marks; the rest is derived from these.
MARK_START_UP = "start-up"
MARK_COMMIT = "commit"
MARK_CHECKPOINT = "checkpoint"
MARK_CLOSE = "close"
MARK_CONNECTION_CLOSE = "connection-close"


def death_phases(history: History) -> tuple[Phase, ...]:
    """Return the phases that process 0 was in when it ended, from the log alone.

    Two threads can be in two phases at once (a commit and a checkpoint), so this is a tuple; it is empty
    after a run that ended cleanly.
    """
    if any(phase.name == MARK_CLOSE and phase.process == 0 and phase.leave_ns for phase in history.phases):
        return ()
    inside = history.open_phases()
    marks = {phase.name: phase for phase in inside}
    if MARK_CLOSE in marks:
        return (_inside_close(history, marks[MARK_CLOSE].enter_seq),)
    phases: list[Phase] = []
    if MARK_START_UP in marks:
        phases.append(Phase.START_UP)
    if MARK_CHECKPOINT in marks:
        phases.append(Phase.CHECKPOINT)
    if MARK_COMMIT in marks and MARK_START_UP not in marks:
        phases.append(Phase.COMMIT)
    elif not phases:
        own = [step for step in history.steps if step.process == 0]
        running = [step for step in own if step.state is StepState.OPEN]
        if any(_committed_since(history, step.begin_seq) for step in running):
            phases.append(Phase.COMMIT_ACK)
        elif running:
            phases.append(Phase.STEP)
        else:
            phases.append(Phase.BETWEEN)
    return tuple(phases)


def _inside_close(history: History, since: int) -> Phase:
    truncates = [
        phase
        for phase in history.phases
        if phase.process == 0
        and phase.name == MARK_CHECKPOINT
        and phase.enter_seq > since
        and phase.detail.startswith("TRUNCATE")
    ]
    if not truncates:
        return Phase.CLOSE_BEFORE
    return Phase.CLOSE_AFTER if truncates[-1].leave_ns else Phase.CLOSE_TRUNCATE


def _committed_since(history: History, since: int) -> bool:
    return any(
        phase.name == MARK_COMMIT and phase.process == 0 and phase.enter_seq > since and phase.leave_ns
        for phase in history.phases
    )
