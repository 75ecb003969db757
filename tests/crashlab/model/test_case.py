import msgspec
import pytest

from crashlab.errors import RecordError
from crashlab.model.case import CASE_BYTES_MAX, Case, decode_case

CASE = Case("store", 7, "kill@ack#17", {"cadence_s": 0.05, "auto": 1000, "name": "x", "pinned": True})


def test_a_case_survives_its_own_bytes():
    assert decode_case(CASE.encode()) == CASE


def test_equal_cases_have_equal_bytes_whatever_the_order_of_their_params():
    turned = Case("store", 7, "kill@ack#17", dict(reversed(CASE.params.items())))
    assert turned.encode() == CASE.encode()
    assert turned.case_id == CASE.case_id


def test_the_bytes_and_the_id_are_the_same_everywhere():
    case = Case("store", 7, "kill@ack#17", {"b": 1, "a": 0.5})
    assert case.encode() == (
        b'{"deadline_s":20.0,"fault":"kill@ack#17","format_version":1,"params":{"a":0.5,"b":1},"seed":7,'
        b'"steps_max":100000,"subject":"store"}'
    )
    assert case.case_id == "7ee2c80ffdac"


def test_a_case_file_with_defaults_left_out_is_read():
    data = b'{"fault":"kill@ack#17","format_version":1,"params":{"a":0.5},"seed":7,"subject":"store"}'
    assert decode_case(data) == Case("store", 7, "kill@ack#17", {"a": 0.5})


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"fault": "kill@ack#18"},
        {"subject": "other"},
        {"params": {}},
        {"deadline_s": 21.0},
        {"steps_max": 9},
    ],
)
def test_any_other_input_has_another_id(change):
    assert msgspec.structs.replace(CASE, **change).case_id != CASE.case_id


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a case file"),
        (b"{", "not a case file"),
        (b"[1]", "not a case file"),
        (b'\xff\xfe{"subject"', "not a case file"),
        (b"{}", "format version 0"),
        (b'{"format_version":2,"whatever":1}', "upgrade crashlab"),
        (b'{"format_version":"1"}', "not a case file"),
        (b'{"format_version":1,"subject":"s","seed":1}', "fault"),
        (b'{"format_version":1,"subject":"s","seed":1,"fault":"none","command":"rm"}', "command"),
        (b'{"format_version":1,"subject":"s","seed":"1","fault":"none"}', "not a case file"),
        (b'{"format_version":1,"subject":"s","seed":1,"fault":"none","params":{"a":[1]}}', "not a case file"),
        (b'{"format_version":1,"subject":"../s","seed":1,"fault":"none"}', "not a subject's name"),
        (b'{"format_version":1,"subject":"a b","seed":1,"fault":"none"}', "not a subject's name"),
        (b'{"format_version":1,"subject":"","seed":1,"fault":"none"}', "not a subject's name"),
        (b" " * (CASE_BYTES_MAX + 1), "expected at most"),
    ],
)
def test_what_is_no_case_is_refused_in_one_line(data, says):
    with pytest.raises(RecordError) as caught:
        decode_case(data, source="some/case.json")
    assert says in str(caught.value)
    assert str(caught.value).startswith("some/case.json: ")
    assert "\n" not in str(caught.value)


def test_sub_seeds_of_a_case_follow_its_seed():
    assert CASE.subseed("delay") == Case("other", 7, "none").subseed("delay")
    assert CASE.subseed("delay") != CASE.subseed("phase")
