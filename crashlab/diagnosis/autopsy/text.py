"""An autopsy's report for people."""

from collections.abc import Iterable, Iterator

from crashlab.diagnosis.autopsy.report import BackupFacts, Damage, Named, Report

__all__ = ["text"]

SHOWN_IN_FULL = 6
_FAMILIES = {
    "a": "locks lost, or files taken from a running process",
    "b": "the WAL-reset defect of SQLite",
    "c": "storage that does not keep SQLite's contract",
    "d": "copied, restored or deleted",
    "e": "power loss, disk or I/O errors",
    "f": "checkpoints held back",
    "g": "another journal mode than meant",
    "h": "the program itself: never committed, or overwritten",
}
_COMMITS = 8
_HASH = 16


def text(report: Report) -> str:
    """The whole report, not yet made safe for a terminal."""
    makers = (_head, _mechanisms, _next, _damage, _timeline, _facts)
    parts = (list(make(report)) for make in makers)
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(report: Report) -> Iterator[str]:
    yield f"{str(report.verdict).upper()}  {report.path}"
    yield from (f"  {line}" for line in report.why)


def _facts(report: Report) -> Iterator[str]:
    yield "FILES (copied first; SQLite never opened an original)"
    for each in report.evidence:
        state = "unchanged" if each.unchanged else "CHANGED MEANWHILE"
        yield f"  {each.role:8} {each.size:>14,} bytes  sha256 {each.sha256[:_HASH]}…  {state}"
    facts = report.facts
    header, wal, shm, journal = facts.header, facts.wal, facts.shm, facts.journal
    yield f"  main     {header.kind}{f': {header.detail}' if header.detail else ''}"
    if header.page_size:
        promised = f", header says {header.header_pages:,}" if header.header_pages != header.pages else ""
        yield (
            f"           {header.pages:,} pages of {header.page_size}{promised}; {header.mode} mode; change counter"
            f" {header.change_counter}, schema cookie {header.schema_cookie}; written by SQLite {header.written_by}"
        )
    if wal:
        yield (
            f"  wal      {wal.commits:,} commits in {wal.committed:,} of {wal.chain:,} valid frames, salts"
            f" {wal.salts[0]:08x} {wal.salts[1]:08x}; the chain ends: {wal.problem or wal.end}"
        )
        if wal.repair:
            yield f"           {wal.repair}"
        for left in wal.remains:
            which = "this generation, behind the break" if left.current else "an earlier generation"
            yield f"           {left.frames:,} frames of {which} ({left.commits:,} whole commits)"
    if shm:
        state = shm.problem or (
            f"{shm.max_frame:,} frames committed, {shm.backfilled:,} of them in the main file"
            f" ({shm.attempted:,} attempted); read marks {', '.join(map(str, shm.read_marks)) or 'none'}"
        )
        yield f"  shm      {state}"
    if journal:
        undo = f", {journal.pages:,} pages to undo" if journal.state == "hot" else ""
        yield f"  journal  {journal.state}{undo}{f'; {journal.problem}' if journal.problem else ''}"


def _damage(report: Report) -> Iterator[str]:
    whole, alone = report.facts.whole, report.facts.alone
    yield "DAMAGE (as the next opener gets it)"
    yield from _one_view(whole)
    if report.facts.features.get("wal.fit", "none") != "none" and alone.scope != whole.scope:
        yield f"  the main file alone: {alone.scope}"
    for name, lines in report.checks.items():
        yield f"  {name} of a private copy: {'fails' if lines else 'ok'}"
        yield from (f"    {line}" for line in lines[:SHOWN_IN_FULL])
    if report.ledger:
        rows = report.ledger
        yield f"  ledger: {rows.acked:,} rows, {rows.lost:,} missing ({rows.order}), {rows.changed:,} changed"
        yield from (f"    missing: {each}" for each in rows.examples)
        if rows.problem:
            yield f"    {rows.problem}"
    if report.backup:
        yield from _backup(report.backup)


def _backup(backup: BackupFacts) -> Iterator[str]:
    missing, changed = (
        ", ".join(f"{count:,} of {table}" for table, count in rows.items()) for rows in (backup.missing, backup.changed)
    )
    yield f"  rows that the backup has and this has not: {backup.problem or missing or 'none'}"
    if changed:
        yield f"  rows with other content than in the backup: {changed}"
    if backup.one_bit:
        pages = ", ".join(map(str, backup.one_bit))
        yield f"  pages that differ from the backup's in one bit (a flip, or an update of one value): {pages}"
    if backup.ahead:
        yield "  the backup's change counter is ahead: this file is older than it, or a copy with a count of its own"


def _one_view(damage: Damage) -> Iterator[str]:
    yield f"  {damage.scope}{f', {damage.total:,} problems' if damage.total else ''}"
    for name, count in damage.trees.items():
        yield f"    {name}: {count:,}"
    yield from (f"    {line}" for line in damage.lines[:SHOWN_IN_FULL])
    if damage.repair:
        yield f"    {damage.repair}"


def _timeline(report: Report) -> Iterator[str]:
    facts = report.facts
    if not facts.commits or not facts.wal:
        return
    shown = facts.commits[-_COMMITS:]
    yield f"COMMITS STILL VISIBLE IN THE WAL ({facts.wal.commits:,}, the last {len(shown)} shown)"
    for commit in shown:
        trees = ", ".join(commit.trees) or "no tree of today"
        yield (
            f"  {commit.number:>7,}  up to frame {commit.frames:,}: {commit.pages:,} pages, {commit.in_main:,} in the"
            f" main file; {trees}"
        )


def _mechanisms(report: Report) -> Iterator[str]:
    first = report.first
    if not first:
        yield "MECHANISM: cannot tell; no mechanism known here leaves such files"
        yield from (f"  not explained: {each}" for each in report.unexplained)
        return
    if first[0].id == "none":
        yield "MECHANISM: none to see. If rows are missing all the same, these leave files like these, and nothing in"
        yield f"  them tells between the {len(first) - 1}:"
        yield from _families(first[1:])
        return
    head = "MECHANISM" if len(first) == 1 else f"MECHANISM: one of {len(first)}; these files cannot tell between them"
    yield f"{head} ({report.confidence})"
    shared = [sign for sign in first[0].supports if all(sign in named.supports for named in first)]
    yield from (f"  + {sign}" for sign in shared)
    for named in first[:SHOWN_IN_FULL]:
        yield f"  {named.id}  {named.title}"
        yield from (f"      + {each}" for each in named.supports if each not in shared)
        yield from (f"      - {each}" for each in named.against)
    if len(first) > SHOWN_IN_FULL:
        yield f"  and {len(first) - SHOWN_IN_FULL} more:"
        yield from _families(first[SHOWN_IN_FULL:])
    yield from (f"  not explained: {each}" for each in report.unexplained)
    for named in report.others[:3]:
        yield f"  less likely: {named.id}  {named.title}"
        yield from (f"      - {each}" for each in named.against[:3])
    if report.ruled_out:
        yield f"  ruled out by what they would have left: {len(report.ruled_out)} others (--format json)"


def _next(report: Report) -> Iterator[str]:
    if report.do_not:
        yield "DO NOT, NOW"
        yield from (f"  {each}" for each in report.do_not)
    if report.ask_next:
        yield "ASK OR COLLECT NEXT"
        yield from (f"  {each}" for each in report.ask_next)
    yield from (f"note: {note}" for note in report.notes)


def _families(named: Iterable[Named]) -> Iterator[str]:
    by_letter: dict[str, list[str]] = {}
    for each in named:
        by_letter.setdefault(each.id[0], []).append(each.id)
    for letter, ids in by_letter.items():
        yield f"    {_FAMILIES.get(letter, 'others')}: {', '.join(ids)}"
