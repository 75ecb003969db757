"""The gate's rows about where it runs: SQLite and its advisories, effective modes, file system, preflight."""

from pathlib import Path

from crashlab.decide.config import Policy
from crashlab.decide.evidence import Row, RowResult
from crashlab.sqlite.advisories import advisories_for
from crashlab.sqlite.filesystem import filesystem_of
from crashlab.sqlite.library import find_library
from crashlab.sqlite.preflight import preflight

GROUP = "environment"
PREFLIGHT = "preflight"


def environment_rows(directory: Path, settings: dict[str, str], policy: Policy) -> list[Row]:
    """Return rows for the SQLite found, the settings that the subject put in force, and the file system."""
    library = find_library()
    rows = [Row(GROUP, f"SQLite {library.version}", RowResult.OK, detail=library.source_id[:60])]
    bad = RowResult.FAIL if policy.advisories == "no-go" else RowResult.WARN
    rows += [
        Row(
            GROUP,
            f"advisory {advisory.name}",
            bad,
            detail=f"{advisory.describe(library.version)}. Needs: {advisory.needs}",
            invariants=(f"advisory/{advisory.name}",),
        )
        for advisory in advisories_for(library)
    ]
    modes = ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))
    mode = settings.get("journal_mode", "")
    rows.append(
        Row(
            GROUP,
            "effective settings",
            RowResult.OK if mode == "wal" else RowResult.WARN,
            detail=modes or "the subject opened no connection through the connect() it was handed",
        )
    )
    system = filesystem_of(directory)
    warning = system.warning
    hurts = bool(warning) and not system.is_memory
    rows.append(
        Row(
            GROUP,
            f"file system {system.kind}",
            (RowResult.FAIL if policy.file_system == "no-go" else RowResult.WARN) if hurts else RowResult.OK,
            detail=warning or "local",
            invariants=("environment/file-system",) if hurts else (),
        )
    )
    return rows


def preflight_row(database: Path) -> Row:
    """Check an existing database through a consistent copy; see `crashlab.sqlite.preflight`.

    Raises:
        UsageError: missing, a directory, unreadable, or no SQLite database.
    """
    found = preflight(database)
    checks = {"quick_check": found.quick, "integrity_check": found.integrity, "foreign_key_check": found.foreign_keys}
    failed = {name: lines for name, lines in checks.items() if lines}
    remarks = [f"{name}: {lines[0]}" for name, lines in failed.items()]
    if found.hot_journal:
        remarks.append(f"hot journal, not rolled back and not opened: {found.hot_journal}")
    if found.wal is not None and found.wal.size:
        remarks.append(f"-wal: {found.wal.committed} committed and {found.wal.uncommitted} uncommitted frames")
    remarks.append(
        f"changed meanwhile by somebody else: {', '.join(found.changed)}"
        if found.changed
        else f"checked by {found.method} in another process; the files are as they were"
    )
    remarks += found.notes
    if failed:
        result = RowResult.FAIL
    elif not found.checked:
        result = RowResult.INCONCLUSIVE
    else:
        result = RowResult.WARN if found.left_behind else RowResult.OK
    return Row(
        PREFLIGHT,
        f"database {database.name}",
        result,
        judged=int(found.checked),
        failures=int(bool(failed)),
        detail="; ".join(remarks)[:600],
        invariants=tuple(f"preflight/{name}" for name in failed),
    )
