"""`MessageLog` under the machine."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from harness.machines.leg import Place
from harness.machines.messages_model import PARTS, WORDS, MessagesModel
from harness.machines.system import System
from store import MessageLog
from store.message_log import fts_disagreements


class Messages(System):
    """The agent's memory; `store` is the class, `every` and `mode` its checkpoints."""

    name = "messages"
    model = MessagesModel

    def __init__(self, store: type[MessageLog] = MessageLog, *, every: int = 3, mode: str = "PASSIVE") -> None:
        super().__init__(store)
        self.every = every
        self.mode = mode

    def options(self) -> dict[str, Any]:
        """See `System.options`."""
        return {"store": self.store, "every": self.every, "mode": self.mode}

    def make(self, name: str, place: Place, clock: Callable[[], int]) -> MessageLog:
        """See `System.make`."""
        made: MessageLog = self.store(
            place.database, connect=place.connect, clock=clock, checkpoint_every=self.every, checkpoint_mode=self.mode
        )
        return made

    def probe(self, store: MessageLog) -> object:
        """See `System.probe`."""
        return store.sessions()

    def do_checkpoint(self, store: MessageLog, mode: str) -> bool:
        """A checkpoint by the store itself."""
        return store.checkpoint(mode) is not None

    def do_append_many(self, store: MessageLog, session_id: int, messages: Sequence[Sequence[str]]) -> list[int]:
        """With pairs, as the store wants them."""
        return store.append_many(session_id, [(role, content) for role, content in messages])

    def view(self) -> dict[str, Any]:
        """See `System.view`."""
        (store,) = self.stores.values()
        sessions = store.sessions()
        return {
            "sessions": sessions,
            "messages": {session.session_id: store.messages(session.session_id) for session in sessions},
            "count_messages": store.count_messages(),
            "words": {word: _found(store, word, trigram=False) for word in WORDS},
            "parts": {part: _found(store, part, trigram=True) for part in PARTS},
        }

    def audit(self, connection: sqlite3.Connection) -> list[str]:
        """Both indexes agree with the table, row by row."""
        return [f"{found.table}: message {found.message_id} {found.problem}" for found in fts_disagreements(connection)]


def _found(store: MessageLog, query: str, *, trigram: bool) -> list[int]:
    return [hit.message.message_id for hit in store.search(query, trigram=trigram, newest=True, limit=100)]
