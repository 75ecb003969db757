"""Put the exhibits' texts, and a run of all of them that was recorded, into mechanisms.md.

python docs/update_mechanisms.py            # the texts alone
crashlab repro all --runs 20 --format markdown | python docs/update_mechanisms.py --table -
"""

import re
import sys
from pathlib import Path

from crashlab.gallery.mechanisms import load_exhibits
from crashlab.report.exhibits_markdown import exhibits_markdown

PAGE = Path(__file__).with_name("mechanisms.md")


def put(page: str, what: str, text: str) -> str:
    """Replace one generated block of the page."""
    start, end = f"<!-- generated: {what} -->\n", f"<!-- end of {what} -->"
    new, count = re.subn(
        re.escape(start) + ".*?" + re.escape(end), lambda _: f"{start}\n{text.strip()}\n\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{PAGE.name} has {count} blocks {what!r}, expected 1")
    return new


def main() -> None:
    """Update the page in place."""
    page = put(PAGE.read_text(encoding="utf-8"), "exhibits", exhibits_markdown(load_exhibits().values()))
    if sys.argv[1:] == ["--table", "-"]:
        page = put(page, "table", sys.stdin.read())
    elif sys.argv[1:]:
        raise SystemExit(__doc__)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
