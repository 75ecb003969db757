"""The machine of the message log: chat turns, edits, deletes, compaction, VACUUM."""

from typing import Any, ClassVar

from hypothesis import strategies as st

from harness.machines.draws import Arguments, Draw, draw_operation, one_of
from harness.machines.machine import StoreMachine
from harness.machines.messages import Messages
from harness.machines.messages_model import MessagesModel
from harness.machines.system import Operation
from store import MessageLog

TEXTS = ("apple", "banana apple", "cherry banana", "a cherry err", "apple banana cherry")


class MessagesMachine(StoreMachine):
    """`MessageLog` against `MessagesModel`."""

    store: ClassVar[type[MessageLog]] = MessageLog
    mode: ClassVar[str] = "PASSIVE"
    preparation = (
        ("create_session", {"key": "s1"}),
        ("append", {"session_id": 1, "role": "user", "content": "apple banana", "key": "m1"}),
        ("append_many", {"session_id": 1, "messages": [["assistant", "cherry"], ["user", "banana apple"]]}),
    )
    outside_blocks = frozenset({"vacuum", "checkpoint"})

    def system(self) -> Messages:
        """See `StoreMachine.system`."""
        return Messages(self.store, mode=self.mode)

    def draw_operation(self, draw: Draw, model: MessagesModel) -> Operation:
        """See `StoreMachine.draw_operation`."""
        if not model.chats:
            return "create_session", {}
        return draw_operation(draw, model, NAMES, _ARGUMENTS)


def _chat(draw: Draw, model: MessagesModel) -> int:
    return one_of(draw, list(model.chats)) if draw(st.integers(0, 7)) else 9


def _message(draw: Draw, model: MessagesModel) -> int:
    return one_of(draw, list(model.rows)) if model.rows and draw(st.integers(0, 7)) else 99


def _pairs(draw: Draw) -> list[list[Any]]:
    return [["user", one_of(draw, TEXTS)] for _ in range(draw(st.integers(0, 3)))]


_ARGUMENTS: Arguments = {
    "create_session": lambda draw, model: {"key": one_of(draw, (None, "s1", "s2"))},
    "close_session": lambda draw, model: {"session_id": _chat(draw, model)},
    "append": lambda draw, model: {
        "session_id": _chat(draw, model),
        "role": one_of(draw, ("user", "assistant", "tool")),
        "content": one_of(draw, TEXTS),
        "key": one_of(draw, (None, None, "m1", "m2")),
    },
    "append_many": lambda draw, model: {"session_id": _chat(draw, model), "messages": _pairs(draw)},
    "edit_message": lambda draw, model: {"message_id": _message(draw, model), "content": one_of(draw, TEXTS)},
    "delete_message": lambda draw, model: {"message_id": _message(draw, model)},
    "delete_session": lambda draw, model: {"session_id": _chat(draw, model)},
    "compact": lambda draw, model: {
        "session_id": _chat(draw, model),
        "summary": one_of(draw, ("banana", "apple cherry")),
        "keep_last": draw(st.integers(0, 2)),
    },
    "vacuum": lambda draw, model: {},
    "checkpoint": lambda draw, model: {"mode": one_of(draw, ("PASSIVE", "TRUNCATE"))},
}

NAMES = (*_ARGUMENTS, *("append",) * 3, *("append_many", "edit_message") * 2)
