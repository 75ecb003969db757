"""The rows that were acked in a run, in order, and what became of them."""

import json

from crashlab.gallery.telling import Rows

__all__ = ["Ledger"]

_EXAMPLES = 5


class Ledger:
    """Key -> value of every row whose commit returned, in the order of the acks."""

    def __init__(self) -> None:
        self.acked: dict[str, str] = {}

    def ack(self, key: str, value: str) -> None:
        """The commit of a row returned; a later ack of the same key replaces its value."""
        self.acked[key] = value

    def lines(self) -> str:
        """The rows of the table that exhibits use, as the ledger that `crashlab autopsy` reads."""
        entries = ({"table": "t", "key": {"who": key}, "row": {"v": value}} for key, value in self.acked.items())
        return "".join(f"{json.dumps(entry)}\n" for entry in entries)

    def compare(self, found: dict[str, str]) -> tuple[Rows, dict[str, str]]:
        """Return the count of rows, and the features that tell how rows went.

        `rows.lost`: none, all, suffix (the last acked ones, without a gap) or gap (an acked row behind a lost
        one is there). `rows.unacked`, `rows.changed`: none or some.
        """
        keys = list(self.acked)
        lost = [key for key in keys if key not in found]
        changed = [key for key in keys if key in found and found[key] != self.acked[key]]
        unacked = [key for key in found if key not in self.acked]
        if not lost:
            how = "none"
        elif len(lost) == len(keys):
            how = "all"
        else:
            how = "suffix" if keys[-len(lost) :] == lost else "gap"
        rows = Rows(
            acked=len(keys),
            found=len(found),
            lost=len(lost),
            unacked=len(unacked),
            changed=len(changed),
            lost_examples=tuple(lost[:_EXAMPLES]),
        )
        return rows, {
            "rows.lost": how,
            "rows.unacked": "some" if unacked else "none",
            "rows.changed": "some" if changed else "none",
        }
