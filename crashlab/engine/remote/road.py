"""A road whose trials run elsewhere."""

from pathlib import Path

import msgspec

from crashlab.engine.remote.carry import unpack
from crashlab.engine.remote.order import TrialAnswer, TrialOrder, Versions
from crashlab.engine.remote.pools import LOSSES_MAX, LostError, Pool
from crashlab.engine.road import broke
from crashlab.engine.subject import Subject
from crashlab.errors import LabError
from crashlab.model.case import Case
from crashlab.model.outcome import Outcome


class RemoteRoad:
    """Sends each case to a pool and waits for its outcome; see `Road`. One call is one trial in flight.

    `versions`: the lab's, with the digest of the subject's code; a worker with others is refused by name. Case
    directories come back as bytes and go below `keep`.
    """

    def __init__(self, subject: Subject, pool: Pool, versions: Versions, *, keep: Path | None) -> None:
        self._subject = subject
        self._pool = pool
        self._versions = versions
        self._keep = keep

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Run one trial elsewhere. A worker lost with it is replaced, a few times.

        Raises:
            LabError: there are no workers any more, or one has other versions.
        """
        order = TrialOrder(self._subject, case, trial_id, keep and self._keep is not None, self._versions)
        data = msgspec.msgpack.encode(order)
        for _ in range(LOSSES_MAX):
            try:
                answer = msgspec.msgpack.decode(self._pool.result(self._pool.submit(data)), type=TrialAnswer)
            except LostError:
                continue
            except msgspec.MsgspecError as error:
                raise LabError(f"a worker's answer to trial {trial_id} cannot be read: {error}") from None
            return self._outcome(answer, case, trial_id)
        return broke(case, trial_id, LabError(f"{LOSSES_MAX} times the workers were lost with this trial"))

    def _outcome(self, answer: TrialAnswer, case: Case, trial_id: str) -> Outcome:
        if answer.refused:
            raise LabError(
                f"the worker on {answer.where} is refused: {answer.refused}; all machines must have the same"
            )
        if answer.trial_id != trial_id:
            raise LabError(f"asked for trial {trial_id}, the worker on {answer.where} answered {answer.trial_id!r}")
        if answer.outcome is None:
            return broke(case, trial_id, LabError(f"on {answer.where}: {answer.broke}"))
        if answer.outcome.trial_id != trial_id or answer.outcome.case != case:
            raise LabError(f"the worker on {answer.where} answered trial {trial_id} with the outcome of another")
        return unpack(answer.outcome, answer.files, self._keep)

    def close(self) -> None:
        """Give up what is under way."""
        self._pool.close()
