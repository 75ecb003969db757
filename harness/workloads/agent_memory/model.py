"""What the agent knows to be in its memory: rows by number, and the numbers that come next."""

from collections.abc import Iterable

from crashlab.model.step import Effect, Row
from harness.workloads.agent_memory.texts import MESSAGES, SESSIONS
from store import MessageLog


class Memory:
    """The rows of acked steps. Written by the writing lane alone; others may look at `settled`.

    `settled` holds each message's text while no step is changing it: what a search must find.
    """

    def __init__(self) -> None:
        self.sessions: dict[int, Row] = {}
        self.messages: dict[int, Row] = {}
        self.settled: dict[int, str] = {}
        self.last_message = 0
        self.last_session = 0
        self.known = True  # False when a step ended in an error, and nobody knows what of it there is

    def copy(self) -> "Memory":
        """What is known now, to be kept."""
        kept = Memory()
        kept.sessions, kept.messages = dict(self.sessions), dict(self.messages)
        kept.last_message, kept.last_session = self.last_message, self.last_session
        return kept

    def of_session(self, session: int) -> list[int]:
        """The numbers of a session's messages, in order."""
        return sorted(number for number, row in self.messages.items() if row[0] == session)

    def open_sessions(self) -> list[int]:
        """Sessions that take messages."""
        return sorted(number for number, row in self.sessions.items() if row[2] is None)

    def unsettle(self, effects: Iterable[Effect]) -> None:
        """A step begins: what it may change need not be found until it is over."""
        for effect in effects:
            if effect.table == MESSAGES:
                self.settled.pop(effect.key[0], None)

    def apply(self, effects: Iterable[Effect]) -> None:
        """A step was done."""
        for effect in effects:
            (number,) = effect.key
            rows = self.messages if effect.table == MESSAGES else self.sessions
            if effect.value is None:
                rows.pop(number, None)
            else:
                rows[number] = effect.value
                if effect.table == MESSAGES:
                    self.settled[number] = effect.value[2]
                    self.last_message = max(self.last_message, number)
                else:
                    self.last_session = max(self.last_session, number)

    def reload(self, store: MessageLog) -> None:
        """Learn from the store what is there; raises what SQLite raises."""
        sessions = {each.session_id: tuple(each[1:]) for each in store.sessions()}
        messages: dict[int, Row] = {
            each.message_id: tuple(each[1:]) for number in sessions for each in store.messages(number)
        }
        last = dict(store._read("SELECT name, seq FROM sqlite_sequence"))
        self.sessions, self.messages = sessions, messages
        self.settled = {number: str(row[2]) for number, row in messages.items()}
        self.last_message, self.last_session = last.get(MESSAGES, 0), last.get(SESSIONS, 0)
        self.known = True
