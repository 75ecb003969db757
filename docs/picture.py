"""Make the README's picture of a gate from a recorded run.

crashlab gate --seed 3 --format text=docs/images/gate.txt   # in a checkout; the file must not be there
python docs/picture.py                                      # docs/images/gate.svg
"""

import html
import re
from pathlib import Path

IMAGES = Path(__file__).with_name("images")
COMMAND = "$ crashlab gate --seed 3"
WIDTH, LINE, CHARACTER = 120, 17, 7.85
COLOURS = (
    (re.compile(r"^ GO "), "#3fb950"),
    (re.compile(r"^ NO-GO "), "#f85149"),
    (re.compile(r"\bwarn$"), "#d29922"),
    (re.compile(r"\b(ok|twin ok)$"), "#7ee787"),
    (re.compile(r"^\S"), "#e6edf3"),
)


def picture(text: str) -> str:
    """Return the SVG of a terminal with this text: one line of text an element, no fonts or scripts from elsewhere."""
    lines = [COMMAND, *text.rstrip("\n").splitlines()]
    height, width = LINE * len(lines) + 24, int(CHARACTER * WIDTH) + 24
    shown = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13">',
        f"<title>{COMMAND.removeprefix('$ ')}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
    ]
    for number, line in enumerate(lines):
        colour = next((colour for pattern, colour in COLOURS if pattern.search(line)), "#9aa4af")
        shown.append(
            f'<text x="12" y="{LINE * (number + 1) + 6}" fill="{colour}" '
            f'xml:space="preserve">{html.escape(line)}</text>'
        )
    return "\n".join([*shown, "</svg>", ""])


def main() -> None:
    """Write the picture beside the text."""
    text = (IMAGES / "gate.txt").read_text(encoding="utf-8")
    (IMAGES / "gate.svg").write_text(picture(text), encoding="utf-8")


if __name__ == "__main__":
    main()
