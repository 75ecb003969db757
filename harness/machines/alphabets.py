"""The operations that the bounded-exhaustive runs combine, and what is there before them."""

from harness.machines.books import Books
from harness.machines.exhaustive import Alphabet
from harness.machines.messages import Messages
from harness.machines.runs import Runs

_O1 = {"order_id": "o1", "session_id": 1, "side": "buy", "price": "0.51", "quantity": "7.25"}
_O2 = {"order_id": "o2", "session_id": 1, "side": "sell", "price": "0.5", "quantity": "2.5"}
_FILL = {"order_id": "o1", "session_id": 1, "price": "0.51"}

BOOKS = Alphabet(
    Books,
    (
        ("start_session", {}),
        ("inject_capital", {"event_key": "c1", "asset": "RLUSD", "quantity": "100"}),
        ("submit_order", _O1),
        ("accept_order", {"order_id": "o1", "offer_sequence": 7}),
        ("submit_order", _O2),
        ("record_order_fill", {**_FILL, "fill_id": "f1", "quantity": "1"}),
        ("record_halt", {"session_id": 1, "reason": "kill_switch"}),
    ),
    {
        "fill": ("record_order_fill", {**_FILL, "fill_id": "f2", "quantity": "6.25"}),
        "deposit": ("inject_capital", {"event_key": "c2", "asset": "XRP", "quantity": "2.5"}),
        "recover": ("start_session", {"parent": 1}),
        "halt": ("record_halt", {"session_id": 2, "reason": "kill_switch"}),
        "cancel": ("cancel_order", {"order_id": "o1", "reason": "requoted"}),
        "shutdown": (
            "shutdown",
            {"session_id": 1, "reason": "kill_switch", "detail": "by hand", "engine_is_off_by": 1_000_000},
        ),
    },
)

MESSAGES = Alphabet(
    Messages,
    (
        ("create_session", {"key": "s1"}),
        ("append", {"session_id": 1, "role": "user", "content": "apple banana", "key": "m1"}),
        ("append_many", {"session_id": 1, "messages": [["assistant", "cherry"], ["user", "banana apple"]]}),
    ),
    {
        "append": ("append", {"session_id": 1, "role": "user", "content": "cherry banana", "key": "m4"}),
        "append-many": ("append_many", {"session_id": 1, "messages": [["tool", "apple"], ["user", "a cherry err"]]}),
        "edit": ("edit_message", {"message_id": 1, "content": "cherry"}),
        "compact": ("compact", {"session_id": 1, "summary": "apple cherry", "keep_last": 1}),
        "vacuum": ("vacuum", {}),
        "delete": ("delete_session", {"session_id": 1}),
    },
)

_R1 = {"who": "a", "run_id": "r1"}

RUNS = Alphabet(
    Runs,
    (
        ("start_run", {**_R1, "agent": "ann", "protocol": "p"}),
        ("start_run", {"who": "b", "run_id": "r2", "agent": "ann", "protocol": "p", "total_steps": 3}),
    ),
    {
        "adopt": ("adopt_run", {"who": "b", "run_id": "r1", "older_than_s": 0.002}),
        "mark": ("mark_running", {**_R1, "total_steps": 3}),
        "advance": ("advance", {**_R1, "step_index": 2}),
        "complete": ("complete_run", {**_R1, "result": {"score": 1}, "cancelled_by": "b"}),
        "cancel": ("cancel_run", {"who": "b", "run_id": "r1", "reason": "not needed"}),
        "reap": ("fail_stale_runs", {"who": "b", "older_than_s": 0.002}),
    },
    prelude=(("start_run", {**_R1, "agent": "ann", "protocol": "p"}),),
)

ALPHABETS: dict[str, Alphabet] = {alphabet.system().name: alphabet for alphabet in (BOOKS, MESSAGES, RUNS)}

__all__ = ["ALPHABETS", "BOOKS", "MESSAGES", "RUNS"]
