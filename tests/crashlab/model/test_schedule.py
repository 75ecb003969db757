import msgspec
import pytest

from crashlab.errors import RecordError, UsageError
from crashlab.model.schedule import (
    Actor,
    Schedule,
    Script,
    Segment,
    decode_schedule,
    parse_segments,
    segments_text,
)

SCHEDULE = Schedule(
    Script("generic", 7, (Actor("a", (0, 2)), Actor("b", (0,))), {"autocheckpoint": 4}),
    (Segment(0, 14), Segment(1, 33, "kill"), Segment(0, 2)),
    "3.40.1 2022-12-28",
)


def test_a_schedule_survives_its_own_bytes_and_its_segments_their_text():
    assert decode_schedule(SCHEDULE.encode()) == SCHEDULE
    assert segments_text(SCHEDULE.segments) == "a14 b33!kill a2"
    assert parse_segments("a14 b33!kill a2") == SCHEDULE.segments


def test_the_name_is_that_of_what_is_run_and_not_of_what_it_showed():
    assert msgspec.structs.replace(SCHEDULE, points=9, digest="x", finding="y").name == SCHEDULE.name
    assert msgspec.structs.replace(SCHEDULE, segments=(Segment(0, 15),)).name != SCHEDULE.name
    assert msgspec.structs.replace(SCHEDULE, engine="3.51.3").name != SCHEDULE.name


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(format_version=2), "upgrade crashlab"),
        (lambda d: d.update(command="rm"), "command"),
        (lambda d: d["script"].update(subject="../x"), "not a subject's name"),
        (lambda d: d["script"].update(seed=-1), "seed"),
        (lambda d: d["script"].update(actors=[]), "0 actors"),
        (lambda d: d.update(segments=[[2, 1]]), "an actor that there is not"),
        (lambda d: d.update(segments=[[0, -1]]), "less than no points"),
    ],
)
def test_a_bad_file_is_refused_by_what_is_wrong(change, says):
    data = msgspec.json.decode(SCHEDULE.encode())
    change(data)
    with pytest.raises(RecordError, match=says):
        decode_schedule(msgspec.json.encode(data))


@pytest.mark.parametrize("text", ["a", "14", "z3", "a-1", "A4", "a4!"])
def test_a_bad_segment_is_refused(text):
    with pytest.raises(UsageError, match="expected an actor"):
        parse_segments(text)
