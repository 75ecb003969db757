import io
import struct

import msgspec
import pytest

from crashlab.errors import LabError
from crashlab.writers.frames import FRAME_BYTES_MAX, read_frame, send_frame
from crashlab.writers.order import Action, Moment, Order, Trigger

ORDER = Order(
    "d", "d/state.db", "a:b", 1, {"x": 1, "y": 0.5, "z": True}, Trigger(Moment.PHASE, Action.KILL, "commit", 3)
)


def test_messages_come_back_one_by_one_and_then_the_end():
    stream = io.BytesIO()
    send_frame(stream, ORDER)
    send_frame(stream, msgspec.structs.replace(ORDER, seed=2))
    stream.seek(0)
    assert read_frame(stream, Order) == ORDER
    assert read_frame(stream, Order) == msgspec.structs.replace(ORDER, seed=2)
    assert read_frame(stream, Order) is None


def test_every_torn_message_is_an_error():
    stream = io.BytesIO()
    send_frame(stream, ORDER)
    whole = stream.getvalue()
    for size in range(1, len(whole)):
        with pytest.raises(LabError, match="torn"):
            read_frame(io.BytesIO(whole[:size]), Order)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (struct.pack("<I", FRAME_BYTES_MAX + 1), "over the limit"),
        (struct.pack("<I", 1) + b"\xc1", "wrong form"),
        (struct.pack("<I", 1) + b"\x05", "wrong form"),
    ],
)
def test_a_strange_message_is_an_error(data, says):
    with pytest.raises(LabError, match=says):
        read_frame(io.BytesIO(data), Order)
