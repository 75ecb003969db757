"""The lane diagram: who ran when in one schedule, as an SVG and as a table that says the same in words."""

import contextlib
import html
import textwrap
from collections.abc import Sequence
from pathlib import Path

import msgspec

from crashlab.engine.schedules.campaign import Found
from crashlab.engine.schedules.spans import Span
from crashlab.report.plain import one_line

__all__ = ["LANES_FILE", "SPANS_MAX", "LaneSpan", "draw_lanes", "lane_spans", "lanes_svg", "lanes_table"]

LANES_FILE = "lanes.svg"
"""The drawing in a schedule's case directory."""

SPANS_MAX = 120
"""So many spans are drawn; a shrunk schedule has a few."""

_LANES_MAX = 8
_HEAD, _ROW, _LINE, _GAP = 34, 12, 15, 10
_LANE, _BAR, _CHARACTER = 130, 26, 6.9
_WORDS = 34
_LINES_MAX = 6


class LaneSpan(msgspec.Struct, frozen=True):
    """One lane's run from where it got control to where it lost it.

    `lane`: its number. `calls`: points that it passed. `did`: what it did, in words. `stopped`: the call that it stood
    before when control was taken from it, "" where it finished or had to wait. `note`: what was then seen, such as the
    wal-index, "" for nothing. `fault`: what befell it there. `marked`: the span that matters.
    """

    lane: int
    calls: int
    did: str = ""
    stopped: str = ""
    note: str = ""
    fault: str = ""
    marked: bool = False


def lane_spans(spans: Sequence[Span]) -> list[LaneSpan]:
    """Return what is drawn of a schedule's course."""
    return [
        LaneSpan(span.actor, span.calls, span.did, span.stopped, span.seen, marked=span.impossible) for span in spans
    ]


def draw_lanes(found: Found) -> None:
    """Put a kept failure's drawing beside its story; what cannot be written is left out, the story says the same."""
    if not found.case_dir or not found.spans:
        return
    names = [actor.lane for actor in found.small.script.actors]
    drawing = lanes_svg(names, lane_spans(found.spans), title=found.program, alone=True)
    with contextlib.suppress(OSError):
        (Path(found.case_dir) / LANES_FILE).write_text(drawing + "\n", encoding="utf-8")


def lanes_svg(
    lanes: Sequence[str], spans: Sequence[LaneSpan], *, title: str = "who ran when", alone: bool = False
) -> str:
    """Return an SVG element: a column for each lane, time downwards, a bar for each span, its words beside it.

    Colours are those of the page around it where it has them (`--text`, `--soft`, `--line`, `--tint`, `--bad`), so
    that light and dark are the reader's; alone it has its own. Text from programs is escaped. At most `SPANS_MAX`
    spans are drawn, and a last line says how many are left out. `alone`: a file of its own, on a white ground.
    """
    names = [one_line(name) for name in lanes[:_LANES_MAX]]
    shown = [span for span in spans[:SPANS_MAX] if 0 <= span.lane < len(names)]
    words_x = _LANE * len(names) + 16
    width = words_x + round(_CHARACTER * (_WORDS + 4) * 1.6)
    parts: list[str] = []
    y = _HEAD
    last: tuple[int, int] | None = None
    for span in shown:
        lines = _words(span)
        height = max(_ROW, _LINE * len(lines))
        x = _centre(span.lane)
        if last is not None:
            parts.append(f'<path class="to" d="M{last[0]} {last[1]} V{y - _GAP / 2:g} H{x} V{y}"/>')
        kind = "bar bad" if span.fault or span.marked else "bar"
        parts.append(f'<rect class="{kind}" x="{x - _BAR // 2}" y="{y}" width="{_BAR}" height="{height}" rx="3"/>')
        parts.append(f'<text class="n" x="{x}" y="{y + height / 2 + 4:g}">{span.calls}</text>')
        parts.append(f'<path class="lead" d="M{x + _BAR // 2 + 3} {y + 8} H{words_x - 6}"/>')
        for number, (text, kind) in enumerate(lines):
            at = y + _LINE * number + 12
            parts.append(f'<text class="{kind}" x="{words_x}" y="{at}">{html.escape(text)}</text>')
        last = (x, y + height)
        y += height + _GAP
    left_out = len(spans) - len(shown)
    if left_out:
        parts.append(f'<text class="soft" x="{words_x}" y="{y + 12}">and {left_out} more</text>')
        y += _LINE
    columns = [
        f'<text class="lane" x="{_centre(number)}" y="16">{html.escape(_short(name))}</text>'
        f'<path class="life" d="M{_centre(number)} 24 V{y}"/>'
        for number, name in enumerate(names)
    ]
    label = html.escape(one_line(title), quote=True)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lanes" viewBox="0 0 {width} {y + 8}" '
            f'style="max-width:{width}px;width:100%" role="img" aria-label="{label}">',
            _STYLE,
            *([f'<rect width="{width}" height="{y + 8}" fill="#fff"/>'] if alone else []),
            *columns,
            *parts,
            "</svg>",
        ]
    )


def lanes_table(lanes: Sequence[str], spans: Sequence[LaneSpan]) -> list[tuple[str, ...]]:
    """Return the same as rows of text: the head, then each span with what it did, where it stopped, what was seen."""
    rows: list[tuple[str, ...]] = [("", "lane", "calls", "did", "stopped before", "seen then")]
    for number, span in enumerate(spans, 1):
        name = lanes[span.lane] if 0 <= span.lane < len(lanes) else f"lane {span.lane}"
        stopped = f"{span.stopped} ({span.fault})".strip() if span.fault else span.stopped
        rows.append(
            (
                str(number),
                *(one_line(text) for text in (name, str(span.calls), span.did, stopped, span.note)),
            )
        )
    return rows


def _centre(lane: int) -> int:
    return _LANE * lane + _LANE // 2


def _short(name: str) -> str:
    return name if len(name) <= _LANE // 8 else f"{name[: _LANE // 8 - 1]}…"


def _words(span: LaneSpan) -> list[tuple[str, str]]:
    """The lines beside a bar, each with its class."""
    said = [(span.did, "did")]
    if span.stopped:
        said.append((f"stopped before {span.stopped}", "soft"))
    if span.fault:
        said.append((span.fault, "bad"))
    if span.note:
        said.append((span.note, "bad" if span.marked else "soft"))
    lines = [
        (line, kind)
        for text, kind in said
        for line in textwrap.wrap(one_line(text), round(_WORDS * 1.6), max_lines=_LINES_MAX, placeholder=" …")
    ]
    return lines or [("", "did")]


_STYLE = (
    "<style>.lanes{--t:var(--text,#1c2024);--s:var(--soft,#6b7680);--l:var(--line,#c9d1d9);--f:var(--tint,#dbe7f3);"
    "--b:var(--bad,#c0392b)}"
    ".lanes text{font:12px system-ui,sans-serif;fill:var(--t)}"
    ".lanes .lane{font-weight:600;text-anchor:middle}"
    ".lanes .n{text-anchor:middle;font-size:10px;fill:var(--s)}"
    ".lanes .soft{fill:var(--s)}.lanes text.bad{fill:var(--b)}"
    ".lanes path{fill:none;stroke:var(--l)}.lanes .life{stroke-dasharray:2 4}.lanes .to{stroke:var(--s)}"
    ".lanes .lead{stroke-dasharray:1 3}"
    ".lanes .bar{fill:var(--f);stroke:var(--s)}.lanes rect.bad{stroke:var(--b);stroke-width:2}</style>"
)
