"""Packed rows of bits against plain integers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crashlab.states.bits import below, first_set, last_set, pack, unpack

rows_of_integers = st.lists(st.integers(0, 2**190 - 1), min_size=1, max_size=8)


def as_rows(integers):
    return np.array([[n >> 64 * word & (2**64 - 1) for word in range(3)] for n in integers], dtype=np.uint64)


@given(rows_of_integers)
def test_the_ends_of_a_row_are_those_of_the_integer(integers):
    rows = as_rows(integers)
    assert first_set(rows, 999).tolist() == [(n & -n).bit_length() - 1 if n else 999 for n in integers]
    assert last_set(rows).tolist() == [n.bit_length() - 1 for n in integers]


@given(rows_of_integers)
def test_packing_is_undone_by_unpacking(integers):
    rows = as_rows(integers)
    table = unpack(rows, 190)
    assert [sum(1 << at for at in np.flatnonzero(row).tolist()) for row in table] == integers
    assert (pack(table, 3) == rows).all()


@given(st.lists(st.integers(0, 192), min_size=1, max_size=8))
def test_all_bits_below_a_cut_are_set(cuts):
    assert (below(np.array(cuts), 3) == as_rows([(1 << cut) - 1 for cut in cuts])).all()
