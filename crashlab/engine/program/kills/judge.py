"""A killed run against what the unkilled ones showed. Fault class: process death.

Its databases are copied before SQLite touches any of them, and only the copies are opened.
"""

from pathlib import Path

from crashlab.engine.program.kills.orders import AckRule, Look, Place, Reference
from crashlab.engine.program.kills.read import Column, Content, Reader, copy_databases, databases_in
from crashlab.engine.program.kills.survey import CHECKS, named_file
from crashlab.model.contract import FaultClass
from crashlab.model.finding import Finding, Identity

__all__ = ["ORACLE", "finding", "judge"]

ORACLE = "killed"


def finding(subject: str, invariant: str, message: str, oracle: str = ORACLE) -> Finding:
    """Make a finding about a process death."""
    return Finding(Identity(oracle, invariant, subject, FaultClass.PROCESS_DEATH.value), message)


def judge(
    work: Path, scratch: Path, reference: Reference, keys: tuple[str, ...], subject: str
) -> tuple[tuple[Look, ...], list[Finding]]:
    """Judge what a killed run left in `work`. `keys`: of the acks that were out before the kill."""
    names = databases_in(work)
    frames = copy_databases(work, names, scratch)
    contents: dict[str, Content] = {}
    columns: dict[Place, Column] = {}
    findings: list[Finding] = []
    wanted = {*reference.files, *(place for place in reference.acks.places if place.column >= 0)}
    for name in names:
        with Reader(scratch / name) as reader:
            content = reader.content(reference.survey.check.get(name, CHECKS[0]))
            contents[name] = content
            if content.problem:
                findings.append(finding(subject, "well-formed", f"{name} is malformed: {content.problem}"))
                continue
            for table in {place.table for place in wanted if place.database == name} & content.rows.keys():
                held = reader.columns(table)
                columns |= {
                    place: held[place.column]
                    for place in wanted
                    if (place.database, place.table) == (name, table) and place.column < len(held)
                }
    lost = lost_ack(reference, keys, contents, columns)
    if lost and not findings:
        findings.append(finding(subject, "acked-commits", lost))
    for place in reference.files:
        missing = sorted(text for text in columns[place].texts if named_file(work, text) is None) if (
            place in columns
        ) else []  # fmt: skip
        if missing:
            findings.append(finding(subject, "named-files", f"{place} names {missing[0]!r}, which is not there"))
            break
    looks = tuple(_look(name, contents[name], reference, frames[name]) for name in names)
    return looks, findings


def lost_ack(
    reference: Reference, keys: tuple[str, ...], contents: dict[str, Content], columns: dict[Place, Column]
) -> str:
    """Say which ack was not kept, '' if all were in one of the places at least."""
    if not keys or not reference.acks.kind:
        return ""
    said = ""
    for place in reference.acks.places:
        wrong = _not_kept(reference, place, keys, contents, columns.get(place))
        if not wrong:
            return ""
        said = said or wrong
    return said


def _not_kept(
    reference: Reference, place: Place, keys: tuple[str, ...], contents: dict[str, Content], column: Column | None
) -> str:
    rule: AckRule = reference.acks
    if rule.kind == "count":
        begun = reference.survey.rows_start.get(place.database, {}).get(place.table, 0)
        content = contents.get(place.database, Content())
        rows = content.rows.get(place.table, 0) - begun
        return "" if rows >= len(keys) else f"{len(keys)} acks were out, and {place} has got {max(0, rows)} rows"
    if rule.kind == "high":
        high = None if column is None else column.high
        if high is not None and high >= int(keys[-1]):
            return ""
        return f"the output had acked {keys[-1]!r}, and the largest number in {place} is {high}"
    missing = [key for key in keys if column is None or key not in column.values]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"the output had acked {missing[-1]!r}{more} ({len(keys)} in all), and {place} has it not" if missing else ""


def _look(name: str, content: Content, reference: Reference, frames: int) -> Look:
    start = set(reference.survey.schema_start.get(name, ()))
    end = set(reference.survey.schema_end.get(name, ()))
    now = set(content.schema)
    strange = tuple(sorted(now - start - end))
    schema = "of neither" if strange else "as at the end" if now == end else "as before" if now == start else "part"
    return Look(name, schema, sum(content.rows.values()), frames, content.problem, strange)
