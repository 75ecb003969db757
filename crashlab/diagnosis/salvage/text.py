"""A salvage's ledger for people."""

from collections.abc import Iterable, Iterator, Sequence

from crashlab.diagnosis.salvage.report import Choice, Gap, Image, Listing, Mended, Report, Table

__all__ = ["listing_text", "text"]

_GAPS = 12
_LINES = 20
_HASH = 16


def text(report: Report) -> str:
    """The whole ledger, not yet made safe for a terminal."""
    makers = (_head, _source, _tables, _missing, _checks, _files)
    parts = (list(make(report)) for make in makers)
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def listing_text(listing: Listing) -> str:
    """What can be chosen, as a table."""
    lines = [f"{_many(len(listing.choices), 'DATABASE', 'S')} that the files of {listing.path} can give (--at ID)"]
    lines += [f"  * {listing.chosen} is the default: {listing.rule}"] if listing.chosen else ["  nothing to choose"]
    lines += _mended(listing.mended)
    lines += ["", f"  {'ID':12} {'PAGES':>8}  {'UP TO FRAME':>11}  HOLDS"]
    kind = ""
    for choice in listing.choices:
        heading = f"{choice.kind}{f' of {choice.wal}' if choice.wal else ''}"
        if heading != kind:
            kind = heading
            lines.append(f"  -- {heading}")
        star = "*" if choice.id == listing.chosen else " "
        lines.append(f"{star} {choice.id:12} {choice.pages:>8,}  {choice.frames or '':>11}  {_holds(choice)}")
        lines += [f"{'':38}! {mark}" for mark in choice.marks]
    if listing.hidden:
        lines.append(f"  {listing.hidden:,} earlier commits are not listed; --at takes them all the same")
    return "\n".join(lines) + "\n"


def _many(count: int, word: str, plural: str = "s") -> str:
    return f"{count:,} {word}{'' if count == 1 else plural}"


def _holds(choice: Choice) -> str:
    if not choice.scope:
        return "not counted"
    rows = ", ".join(f"{name} {count:,}" for name, count in list(choice.rows.items())[:8])
    more = f", and {len(choice.rows) - 8} tables" if len(choice.rows) > 8 else ""
    damage = "" if choice.scope == "sound" else f" ({choice.scope} damage, {choice.problems:,} problems)"
    return f"{rows or 'no tables'}{more}{damage}"


def _head(report: Report) -> Iterator[str]:
    rows = sum(table.rows for table in report.tables if table.rows > 0)
    state = "COMPLETE" if report.complete else "PARTIAL"
    yield f"{state}  {report.new}: {_many(rows, 'row')} in {_many(len(report.tables), 'table')}, {report.bytes:,} bytes"
    if report.complete:
        yield "  everything that the chosen source holds is in it, and it passes every check"
    if report.source.marks:
        yield "  the choice is in doubt, see below: compare it with what the program knows"
    aside = sum(table.aside for table in report.tables)
    gaps = sum(table.gaps_total for table in report.tables)
    if gaps:
        yield f"  {gaps:,} pages or rows of the source can't be read"
    if aside:
        yield f"  {aside:,} rows could not be put where they belong: set aside in tables of their own"
    if report.missing:
        yield f"  {len(report.missing):,} other things are missing or changed"
    failing = [name for name, lines in report.checks.items() if lines]
    if failing:
        yield f"  {', '.join(failing)} of the new file: complaints, below"


def _source(report: Report) -> Iterator[str]:
    source = report.source
    yield "FROM"
    upto = f", commit {source.commits:,}, up to frame {source.frames:,}" if source.frames else ""
    kind = f"{source.kind} of {source.wal}" if source.wal else source.kind
    yield f"  {source.id}: {kind}{upto}; {source.scope or 'not walked'}"
    yield f"  chosen: {report.rule}"
    yield f"  taken by {report.method}: {report.why_method}"
    yield from (f"  ! {mark}" for mark in source.marks)
    yield from _mended(report.mended)
    if report.merged:
        yield f"  rows added from {', '.join(report.merged)}"
    if report.images:
        yield f"  {len(report.images):,} pages from the WAL (page<frame): {_images(report.images)}"
        yield "  all other pages from the main file"
    if report.alternatives:
        yield "  other choices (--at ID; --list shows all):"
        yield from (f"    {each.id:10} {each.kind}: {_holds(each)}" for each in report.alternatives[:_LINES])


def _mended(mended: Iterable[Mended]) -> list[str]:
    return [
        f"  mended: {each.wal}, {each.what}; {'its checksum proves it' if each.proven else 'which bit is a guess'}"
        for each in mended
    ]


def _images(images: Sequence[Image]) -> str:
    shown = ", ".join(f"{each.page}<{each.frame}{'' if each.proven else '?'}" for each in images[:12])
    return f"{shown}{', …' if len(images) > 12 else ''}"


def _tables(report: Report) -> Iterator[str]:
    if not report.tables:
        return
    width = max(12, *(min(40, len(table.name)) for table in report.tables))
    yield "TABLES"
    for table in report.tables:
        yield f"  {table.name:{width}} {_count(table)}"
        yield from (f"  {'':{width}}   - {_gap(gap)}" for gap in table.gaps[:_GAPS])
        if table.gaps_total > _GAPS:
            yield f"  {'':{width}}   - and {table.gaps_total - _GAPS:,} more"


def _count(table: Table) -> str:
    parts = [_many(table.rows, "row")] if not table.problem else [f"not made: {table.problem}"]
    if table.merged:
        parts.append(f"{table.merged:,} of them added from other generations")
    if table.renumbered:
        parts.append(f"{table.renumbered:,} under a new rowid")
    if table.orphans:
        parts.append(f"{table.orphans:,} of them from pages that no tree reaches: in doubt")
    if table.aside:
        parts.append(f"{table.aside:,} set aside in {table.aside_table}")
    return ", ".join(parts)


def _gap(gap: Gap) -> str:
    if gap.after is None and gap.upto is None:
        where = ""
    elif gap.upto is None:
        where = f"; rowids above {gap.after:,} may be missing"
    elif gap.after is None:
        where = f"; rowids up to {gap.upto:,} may be missing"
    else:
        one = gap.after + 1 >= gap.upto
        where = (
            f"; rowid {gap.upto:,} may be missing"
            if one
            else f"; rowids {gap.after + 1:,} to {gap.upto:,} may be missing"
        )
    return f"page {gap.page}: {gap.why}{where}"


def _missing(report: Report) -> Iterator[str]:
    if report.missing:
        yield "MISSING OR CHANGED"
        yield from (f"  {line}" for line in report.missing[:_LINES])
        if len(report.missing) > _LINES:
            yield f"  and {len(report.missing) - _LINES:,} more (in the ledger)"
    yield from (f"note: {note}" for note in report.notes[:_LINES])


def _checks(report: Report) -> Iterator[str]:
    yield "CHECKS of the new file"
    for name, lines in report.checks.items():
        yield f"  {name}: {'ok' if not lines else _many(len(lines), 'complaint')}"
        yield from (f"    {line}" for line in lines[:_LINES])


def _files(report: Report) -> Iterator[str]:
    yield "ORIGINALS (copied first; SQLite never opened one)"
    for each in report.evidence:
        state = "unchanged" if each.unchanged else "CHANGED MEANWHILE"
        yield f"  {each.role:8} {each.size:>14,} bytes  sha256 {each.sha256[:_HASH]}…  {state}  {each.path}"
