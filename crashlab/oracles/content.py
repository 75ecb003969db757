"""Oracle `content`: each row is right by itself, and a key comes back once.

Judged unless nothing at all is promised (see `View.rows_judged`).

Invariants:
    row-check-failed: the table's own `verify(key, value)` says the row cannot be right, or raised over it.
    duplicate-key: more than one row with one key, though the key is unique in the model.
"""

from collections.abc import Iterator

from crashlab.model.finding import Finding
from crashlab.model.step import Row, Table
from crashlab.oracles.evidence import EXAMPLES_MAX, rows, show
from crashlab.oracles.view import View

ROW_CHECK_FAILED = "row-check-failed"
DUPLICATE_KEY = "duplicate-key"
INVARIANTS = (ROW_CHECK_FAILED, DUPLICATE_KEY)


def judge(view: View) -> Iterator[Finding]:
    """Judge every recovered row by its table's `verify`, and keys for duplicates."""
    if not view.rows_judged:
        return
    bad = [(table.name, *found) for table in view.tables for found in _bad_rows(table, view)]
    if bad:
        name, key, value, why = bad[0]
        yield view.finding(
            "content",
            ROW_CHECK_FAILED,
            f"{rows(len(bad))} with impossible content after {view.fault_class.value}, "
            f"first {name} {show(key)}: {show(value)}{why}",
            rows=len(bad),
            examples=[
                {"table": name, "key": show(key), "found": show(value) + why}
                for name, key, value, why in bad[:EXAMPLES_MAX]
            ],
        )
    duplicates = view.recovered.duplicates
    if duplicates:
        name, key = duplicates[0]
        yield view.finding(
            "content",
            DUPLICATE_KEY,
            f"{rows(len(duplicates))} too many for their keys after {view.fault_class.value}, first {name} {show(key)}",
            rows=len(duplicates),
            examples=[{"table": name, "key": show(key)} for name, key in duplicates[:EXAMPLES_MAX]],
        )


def _bad_rows(table: Table, view: View) -> Iterator[tuple[Row, Row, str]]:
    verify = table.verify
    if verify is None:
        return
    for key, value in view.recovered.rows.get(table.name, {}).items():
        try:
            good = verify(key, value)
        except Exception as error:  # content that the subject's check cannot even read is not right content
            yield key, value, f" (verify raised {type(error).__name__}: {error})"[:200]
        else:
            if not good:
                yield key, value, ""
