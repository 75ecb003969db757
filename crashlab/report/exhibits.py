"""Exhibits for the terminal: the story of one, the table of many."""

import textwrap
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crashlab.decide.statistics import upper_bound
from crashlab.gallery.exhibit import Exhibit, Kind
from crashlab.gallery.repeat import Gallery, Tally
from crashlab.gallery.telling import Result, Telling
from crashlab.report.plain import one_line

__all__ = ["GalleryTable", "StoryText", "list_lines"]

_WIDE = 96
_WIDTH_MAX = 120
_STYLES = {Result.AS_EXPECTED: "green", Result.UNEXPECTED: "bold red"}


def list_lines(exhibits: dict[str, Exhibit]) -> Iterator[str]:
    """One line an exhibit: id, title, and what it lacks here, if anything."""
    width = max(map(len, exhibits))
    for exhibit in exhibits.values():
        missing = exhibit.missing_needs()
        minutes = "" if exhibit.in_default_run else "  [not in 'all': takes minutes]"
        lacking = f"  [cannot run here: needs {', '.join(missing)}]" if missing else ""
        yield f"{exhibit.id:{width}}  {exhibit.title}{minutes}{lacking}"


class StoryText:
    """One exhibit told beside its control; renderable on a rich console. Nothing in it is read as markup."""

    def __init__(self, exhibit: Exhibit, tally: Tally) -> None:
        self._exhibit = exhibit
        self._tally = tally

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the sections."""
        width = min(options.max_width, _WIDTH_MAX)
        for part in self._parts(width):
            yield from console.render(part, options.update_width(width))  # type: ignore[misc]

    def _parts(self, width: int) -> Iterator[RenderableType]:
        exhibit = self._exhibit
        run = next(iter(self._tally.runs), None)
        control = next(iter(self._tally.controls), None)
        yield Text(f"{exhibit.id.upper()} - {exhibit.title}", style="bold")
        version = run.sqlite if run else "?"
        yield Text(
            f"fault class: {exhibit.fault_class}; SQLite {version}; affected: {exhibit.affected.says}", style="dim"
        )
        yield _heading("What is blamed" if exhibit.kind is Kind.ACQUITTAL else "How it happens")
        yield _paragraph(exhibit.happens)
        if run is None or control is None or not run.moments or not control.moments:
            for telling in (run, control):
                if telling is not None and telling.why:
                    yield _heading(str(telling.result).capitalize())
                    yield _paragraph(("control: " if telling.control else "") + telling.why)
            return
        yield _heading("Step by step", f"the control differs in one: {exhibit.control}")
        yield _side_by_side(run, control, width) if width >= _WIDE else _one_after_the_other(run, control, width)
        yield _heading("What came of it")
        yield _compared(exhibit, run, control)
        yield Text("")
        yield _verdict(exhibit, self._tally)
        yield _heading("In the field")
        yield _paragraph(exhibit.symptom)
        if exhibit.mistaken_for:
            yield _paragraph("Often blamed instead: " + "; ".join(exhibit.mistaken_for) + ".")
        yield _heading("What to do")
        for line in exhibit.advice:
            yield _paragraph("- " + line)
        for link in exhibit.links:
            yield Padding(Text(link, style="dim", no_wrap=True, overflow="ignore"), (0, 0, 0, 2))
        yield _heading("Again")
        for command in (f"crashlab repro {exhibit.id} --runs 20", f"crashlab repro {exhibit.id} --keep FILES"):
            yield Padding(Text(command), (0, 0, 0, 2))


class GalleryTable:
    """Many exhibits: in how many runs the damage was there, with and without its cause."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the table, what differed, and one line that sums up."""
        gallery = self._gallery
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("exhibit", no_wrap=True)
        table.add_column("damage", justify="right", no_wrap=True)
        table.add_column("control", justify="right", no_wrap=True)
        table.add_column("result", no_wrap=True)
        table.add_column("what", overflow="fold")
        for tally in gallery.tallies:
            style = _STYLES.get(tally.result, "bold yellow")
            runs, controls = len(tally.runs), len(tally.controls)
            made = tally.result is not Result.SKIPPED
            table.add_row(
                Text(tally.exhibit),
                Text(f"{tally.shown}/{runs}" if made else "-"),
                Text(f"{tally.control_shown}/{controls}" if made else "-"),
                Text(str(tally.result), style=style),
                Text(tally.title),
            )
        yield table
        for tally in gallery.tallies:
            yield from _remarks(tally)
        yield Text("")
        yield Text(_summary(gallery), style="bold green" if not gallery.exit_code else "bold red")


def _remarks(tally: Tally) -> Iterator[Text]:
    telling = tally.first(tally.result) if tally.result is not Result.AS_EXPECTED else None
    if telling is not None:
        side = "its control, " if telling.control else ""
        yield Text(f"{tally.exhibit}: {side}seed {telling.seed}: {_why(telling)}")
        if telling.result is Result.UNEXPECTED:
            yield Text(f"  crashlab repro {tally.exhibit} --seed {telling.seed}")
    if tally.kind is Kind.ACQUITTAL and tally.runs and not tally.shown and tally.result is Result.AS_EXPECTED:
        runs = len(tally.runs)
        bound = upper_bound(0, runs)
        yield Text(f"{tally.exhibit}: no damage in {runs} runs: a rate below {bound:.1%} (95 %), on this machine")


def _why(telling: Telling) -> str:
    if telling.why:
        return one_line(telling.why)
    return "; ".join(f"{name} is {one_line(seen)}, expected {wanted}" for name, wanted, seen in telling.differs)


def _summary(gallery: Gallery) -> str:
    counts = {result: sum(tally.result is result for tally in gallery.tallies) for result in Result}
    said = ", ".join(f"{count} {result}" for result, count in counts.items() if count)
    versions = sorted({run.sqlite for tally in gallery.tallies for run in tally.runs})
    text = f"{len(gallery.tallies)} exhibits, each {gallery.wanted} times with its control: {said}"
    text += f"; SQLite {', '.join(versions)}; seed {gallery.seed}; {gallery.seconds:.0f} s"
    return text + (f"; stopped by {gallery.stopped}" if gallery.stopped else "")


def _verdict(exhibit: Exhibit, tally: Tally) -> Text:
    telling = tally.first(tally.result)
    if tally.result is not Result.AS_EXPECTED and telling is not None:
        return Text(f"Unexpected{' in the control' if telling.control else ''}: {_why(telling)}", style="bold red")
    if exhibit.kind is Kind.ACQUITTAL:
        return Text(
            "Not guilty here: no damage in the run; the same look does see it in the control.", style="bold green"
        )
    if tally.shown:
        return Text("Reproduced: the damage is there, and the control has none.", style="bold green")
    return Text("This SQLite is protected: the same steps did no damage.", style="bold green")


def _heading(title: str, remark: str = "") -> Text:
    text = Text("\n")
    text.append(title, style="bold cyan")
    if remark:
        text.append(f" ({remark})", style="dim")
    return text


def _paragraph(text: str) -> Padding:
    return Padding(Text(text), (0, 0, 0, 2))


def _steps(telling: Telling, width: int) -> Iterator[Text]:
    for number, moment in enumerate(telling.moments, 1):
        text = Text()
        done = textwrap.wrap(f"{number}. {one_line(moment.done)}", width, subsequent_indent="   ")
        text.append("\n".join(done), style="bold")
        for line in moment.seen:
            folded = textwrap.wrap(one_line(line), width, initial_indent="   - ", subsequent_indent="     ")
            text.append("\n" + "\n".join(folded), style="dim")
        yield text


def _side_by_side(run: Telling, control: Telling, width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="bold")
    table.add_column("the run", ratio=1, overflow="fold")
    table.add_column("the control", ratio=1, overflow="fold")
    column = (width - 6) // 2
    left, right = (Text("\n").join(_steps(side, column)) for side in (run, control))
    table.add_row(left, right)
    return table


def _one_after_the_other(run: Telling, control: Telling, width: int) -> RenderableType:
    parts: list[RenderableType] = []
    for title, telling in (("the run", run), ("the control", control)):
        parts.append(Text(f"  {title}", style="bold"))
        parts += [Padding(text, (0, 0, 0, 2)) for text in _steps(telling, width - 4)]
    return Group(*parts)


def _compared(exhibit: Exhibit, run: Telling, control: Telling) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 2), header_style="dim")
    for name in ("", "the run", "the control"):
        table.add_column(name)
    if run.rows.acked or control.rows.acked:
        table.add_row("rows acked, found", *(f"{side.rows.acked}, {side.rows.found}" for side in (run, control)))
        table.add_row(
            "acked rows lost",
            *(Text(_lost(side), style="bold red" if side.rows.lost else "") for side in (run, control)),
        )
    for check in ("quick_check", "integrity_check"):
        table.add_row(check, *(_check(side, check) for side in (run, control)))
    names = [name for name in exhibit.picture if name not in ("rows.lost", "quick_check", "integrity_check")]
    for name in names:
        table.add_row(name, *(Text(one_line(side.features.get(name, "-"))) for side in (run, control)))
    return table


def _lost(telling: Telling) -> str:
    if not telling.rows.lost:
        return "0"
    return f"{telling.rows.lost} ({telling.features.get('rows.lost', '')})"


def _check(telling: Telling, name: str) -> Text:
    lines = telling.checks.get(name, ())
    if lines == ("ok",):
        return Text("ok")
    return Text(one_line(lines[0])[:60] if lines else "-", style="bold red")
