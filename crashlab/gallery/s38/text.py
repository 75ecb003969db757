"""A reproduction of S38 for the terminal: five short sections, readable at 80 columns."""

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crashlab.gallery.s38.result import Fate, OnDisk, Reproduction, Run
from crashlab.gallery.s38.tour import TourRow
from crashlab.gallery.s38.words import (
    FIELD,
    NOT_SAID,
    again,
    conclusions,
    in_short,
    log_lines,
    opening,
    summary,
    verdict_of_the_tour,
)
from crashlab.model.finding import Verdict

WIDTH_MAX = 110
_SYNCHRONOUS = {"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}
_ROLES = {"": "main file", "-wal": "write-ahead log", "-shm": "index of the log (rebuilt at any time)", "-journal": ""}
_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red"}


class S38Text:
    """Renderable for a rich console; nothing in it is read as markup."""

    def __init__(self, result: Reproduction) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the sections."""
        narrow = options.update_width(min(options.max_width, WIDTH_MAX))
        for part in self._parts():
            yield from console.render(part, narrow)

    def _parts(self) -> list[RenderableType]:
        result, run = self._result, self._result.shown
        parts: list[RenderableType] = [
            Text("S38 - the console was closed while the engine was writing", style="bold"),
            Text(_stamp(result, run), style="dim"),
            Text(""),
            Text(opening(run)),
        ]
        if run.on_disk is not None:
            parts += [Text(""), Text(in_short(run), style="bold")]
            parts += [_heading("What was on disk", "copied before SQLite touched it"), _files(run.on_disk)]
            parts += [_item("-", line) for line in log_lines(run.on_disk)]
            parts += [_heading("What came back", "the program's own restart, on each"), _fates(run)]
            parts.append(_heading("In plain words"))
            parts += [_item("-", sentence, lead=f"{fault}: ") for fault, sentence in conclusions(run)]
            parts.append(_item("-", NOT_SAID, lead="not a power loss: "))
            if result.tour:
                parts.append(
                    _heading("The tour", "what leaves a malformed file after a console close, and what cannot")
                )
                parts += [_tour(result.tour), Text(""), _item("-", verdict_of_the_tour(result.tour))]
            parts.append(_heading("In the field"))
            parts += [_item(f"{number}.", line) for number, line in enumerate(FIELD, 1)]
        else:
            parts += [
                _heading("What to do"),
                _item(
                    "-",
                    "A fault that did not fire shows nothing, so no files were judged. Run it again as below; "
                    "on a machine under heavy load, with fewer things beside it.",
                ),
            ]
        parts += [_heading("Again"), *(Padding(Text(line, no_wrap=True), (0, 0, 0, 2)) for line in again(result))]
        parts += [Text(""), Text(summary(result), style=_STYLES.get(run.verdict, "bold yellow"))]
        return parts


def _heading(title: str, remark: str = "") -> Text:
    text = Text("\n")
    text.append(title, style="bold cyan")
    if remark:
        text.append(f" ({remark})", style="dim")
    return text


def _item(mark: str, sentence: str, lead: str = "") -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=len(mark) + 2, justify="right")
    grid.add_column(overflow="fold")
    text = Text()
    text.append(lead, style="bold")
    text.append(sentence)
    grid.add_row(Text(mark), text)
    return grid


def _files(found: OnDisk) -> Padding:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column(style="dim")
    for name, size in found.sizes.items():
        role = next(words for suffix, words in reversed(_ROLES.items()) if name.endswith(suffix))
        grid.add_row(Text(name), Text(f"{size:,} bytes"), Text(role))
    return Padding(grid, (0, 0, 0, 2))


def _fates(run: Run) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("  what was done")
    for name in ("acked", "back", "lost", "quick_check", "integrity_check"):
        table.add_column(name, justify="left" if name.endswith("check") else "right")
    for fate in run.fates:
        lost = Text(str(fate.lost), style="bold red" if fate.lost else "green")
        table.add_row(Text(f"  {fate.done}"), Text(str(fate.acked)), Text(str(fate.found)), lost, *_checks(fate))
    return table


def _checks(fate: Fate) -> tuple[Text, Text]:
    if fate.error:
        return Text("not opened", style="bold red"), Text("not opened", style="bold red")
    return _check(fate.quick_check), _check(fate.integrity_check)


def _check(problems: tuple[str, ...]) -> Text:
    return Text(f"{len(problems)} problems", style="bold red") if problems else Text("ok")


def _tour(rows: tuple[TourRow, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("  exhibit", no_wrap=True)
    table.add_column("malformed", justify="right", no_wrap=True)
    table.add_column("rows lost", justify="right", no_wrap=True)
    table.add_column("the part of the close", overflow="fold")
    for row in rows:
        if row.not_run:
            table.add_row(Text(f"  {row.exhibit}"), Text("-"), Text("-"), Text(f"not run: {row.not_run}"))
            continue
        malformed = Text(f"{row.malformed}/{row.runs}", style="bold red" if row.malformed else "green")
        lost = Text(f"{row.lost}/{row.runs}", style="red" if row.lost else "green")
        table.add_row(Text(f"  {row.exhibit}"), malformed, lost, Text(row.role_of_the_close))
    return table


def _stamp(result: Reproduction, run: Run) -> str:
    environment, settings = result.environment, run.settings
    parts = [f"SQLite {environment['sqlite']}", f"Python {environment['python']}"]
    parts.append(f"{environment['system']}, {environment['file_system']}")
    if settings:
        synchronous = settings.get("synchronous", "?")
        parts.append(f"journal_mode {settings.get('journal_mode', '?')}")
        parts.append(f"synchronous {_SYNCHRONOUS.get(synchronous, synchronous)}")
        parts.append(f"wal_autocheckpoint {settings.get('wal_autocheckpoint', '?')}")
    return " - ".join((*parts, f"seed {run.plan.seed}"))
