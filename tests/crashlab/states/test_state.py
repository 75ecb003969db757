"""A crash state's text, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crashlab.errors import UsageError
from crashlab.states.state import KILL, POWER_LOSS, CrashState, parse_state, sectors


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("kill@op=831", CrashState(KILL, 831)),
        ("kill@op=831+512", CrashState(KILL, 831, 512)),
        ("power-loss@op=831 keep=0x1f", CrashState(POWER_LOSS, 831, keep=0x1F)),
        (
            "power-loss@op=3 keep=0x0 torn=7:0x3,9:0x1 entries=0x2",
            CrashState(POWER_LOSS, 3, torn=((7, 3), (9, 1)), entries=2),
        ),
    ],
)
def test_the_text_of_a_state_is_this(text, state):
    assert str(state) == text
    assert parse_state(text) == state


@given(
    st.integers(0, 10**9),
    st.integers(0, 2**600),
    st.dictionaries(st.integers(0, 500), st.integers(1, 2**129)),
    st.integers(0, 2**20),
)
def test_every_state_parses_back(op, keep, torn, entries):
    state = CrashState(POWER_LOSS, op, 0, keep, tuple(sorted(torn.items())), entries)
    assert parse_state(str(state)) == state


@pytest.mark.parametrize(
    "text",
    ["", "kill", "kill@op=x", "kill@op=1 keep=0x1", "power-loss@op=1", "power-loss@op=1+5 keep=0x1", "boom@op=1"],
)
def test_other_texts_are_refused_in_one_line(text):
    with pytest.raises(UsageError, match="expected kill@op=N") as caught:
        parse_state(text)
    assert "\n" not in str(caught.value)


def test_sectors_lie_where_the_file_has_them():
    assert [sectors(0, 512), sectors(0, 513), sectors(511, 2), sectors(56, 4096), sectors(56, 65536)] == [
        1,
        2,
        2,
        9,
        129,
    ]
