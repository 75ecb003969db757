"""What was seen of a live database, for people."""

from collections.abc import Iterator

from crashlab.diagnosis.live.report import Database, LiveReport, Severity

__all__ = ["live_text"]


def live_text(report: LiveReport) -> str:
    """The whole report, not yet made safe for a terminal."""
    parts = ["\n".join(_database(each, report.looks)) for each in report.databases]
    parts += ["\n".join(f"note: {note}" for note in report.notes)] if report.notes else []
    return "\n\n".join(parts) + "\n"


def _database(database: Database, looks: int) -> Iterator[str]:
    look = database.look
    wrong = [each for each in database.findings if each.severity is not Severity.NOTE]
    if wrong:
        state = wrong[0].severity.value.upper()
    elif look.hidden or not look.lock_rows:
        state = "CANNOT TELL"
    else:
        state = "HEALTHY"
    yield f"{state}  {look.path}: {_openers(len(look.openers))}; looked {looks} times"
    if look.hidden:
        pids = ", ".join(map(str, look.hidden))
        yield f"  processes {pids} hold locks on it and can't be looked at: run this as their user"
    if not look.lock_rows:
        yield "  this system shows no lock rows, so nothing is said about locks"
    for finding in wrong:
        yield ""
        yield f"{finding.severity.value.upper()}: {finding.what}"
        yield from (f"  seen: {line}" for line in finding.evidence)
        yield from (f"  now:  {line}" for line in finding.do_now)
        yield from (f"  not:  {line}" for line in finding.do_not)
        yield f"  see:  crashlab repro {finding.exhibits[0]}"
    yield ""
    yield "WHO HAS IT OPEN"
    for opener in look.openers:
        libraries = ", ".join(f"SQLite {each.version or '?'} ({each.path})" for each in opener.libraries)
        yield f"  {opener.pid} {opener.name}: {libraries or 'no SQLite found in its memory'}"
        for held in opener.held:
            locks = ", ".join(f"{kind} {_span(first, last)}" for kind, first, last in held.locks)
            gone = " DELETED" if held.deleted else (" OTHER FILE" if held.strayed else "")
            mapped = ", mapped" if held.mapped else ""
            yield (
                f"    {held.role:8} inode {held.inode}, {held.size:,} bytes{mapped}{gone};"
                f" {'locks ' + locks if locks else 'no lock'}"
            )
    if not look.openers:
        yield "  nobody that can be seen: examine the files with crashlab autopsy PATH"
    yield f"  on {look.filesystem}"
    if look.unreadable:
        holds = "" if look.hidden else "; none of them holds a lock on it"
        yield f"  {look.unreadable} processes of other users could not be looked at{holds}"
    yield from (f"note: {each.what}" for each in database.findings if each.severity is Severity.NOTE)
    if database.rescued:
        yield ""
        yield "COPIED OUT"
        for copy in database.rescued:
            sure = "" if copy.whole else "  (the WAL was begun anew meanwhile: main file and WAL may not fit)"
            yield f"  {copy.role:8} {copy.bytes:>14,} bytes  {copy.to}{sure}"
        mains = [copy.to for copy in database.rescued if copy.role == "main"]
        yield from (f"  next: crashlab salvage {main} --into NEW" for main in mains)


def _openers(count: int) -> str:
    return "nobody has it open" if not count else f"{count} process{'es have' if count > 1 else ' has'} it open"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}..{last}"
