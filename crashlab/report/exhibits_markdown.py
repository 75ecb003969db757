"""Exhibits as Markdown: the table of a visit, and a page's sections from the exhibits' own texts."""

import itertools
from collections.abc import Iterable, Iterator

from crashlab.gallery.exhibit import Exhibit, Kind
from crashlab.gallery.repeat import Gallery
from crashlab.gallery.telling import Result

__all__ = ["exhibits_markdown", "gallery_markdown"]


def gallery_markdown(gallery: Gallery) -> str:
    """Return the table of a visit, with what it ran on beneath."""
    lines = ["| exhibit | damage | control | result |", "|---|---|---|---|"]
    for tally in gallery.tallies:
        made = tally.result is not Result.SKIPPED
        damage = f"{tally.shown}/{len(tally.runs)}" if made else "-"
        control = f"{tally.control_shown}/{len(tally.controls)}" if made else "-"
        lines.append(f"| {tally.exhibit} | {damage} | {control} | {_result(tally.result, tally.first(tally.result))} |")
    stamp = gallery.environment
    versions = ", ".join(sorted({run.sqlite for tally in gallery.tallies for run in tally.runs}))
    lines += [
        "",
        f"`crashlab repro`, {gallery.wanted} runs each and as many of its control, seed {gallery.seed}: "
        f"SQLite {versions}, {stamp.get('python', '?')}, {stamp.get('os', '?')}, {stamp.get('file_system', '?')}, "
        f"{stamp.get('cores', '?')} cores, {gallery.seconds:.0f} s.",
    ]
    return "\n".join(lines) + "\n"


def exhibits_markdown(exhibits: Iterable[Exhibit]) -> str:
    """Return a section a letter, and in it one an exhibit: cause, signature, who is affected, what to do."""
    lines: list[str] = []
    for letter, group in itertools.groupby(exhibits, key=lambda exhibit: exhibit.letter):
        lines += [f"### {letter}", ""]
        for exhibit in group:
            lines += _section(exhibit)
    return "\n".join(lines)


def _section(exhibit: Exhibit) -> Iterator[str]:
    yield f"#### {exhibit.id}: {exhibit.title}"
    yield ""
    yield exhibit.happens
    yield ""
    yield f"- **What you see:** {exhibit.symptom}"
    picture = ", ".join(f"`{name}` {value.replace('|', ' or ')}" for name, value in exhibit.picture.items())
    owner = "Signature of the control's damage" if exhibit.kind is Kind.ACQUITTAL else "Signature"
    yield f"- **{owner}:** {picture}"
    yield f"- **Fault class:** {exhibit.fault_class}. **Affected:** {exhibit.affected.says}."
    yield f"- **The control:** {exhibit.control}"
    if exhibit.mistaken_for:
        yield f"- **Often blamed instead:** {', '.join(exhibit.mistaken_for)}"
    yield f"- **What to do:** {'; '.join(exhibit.advice)}"
    if exhibit.links:
        yield f"- **Read:** {', '.join(f'<{link}>' for link in exhibit.links)}"
    yield ""


def _result(result: Result, telling: object) -> str:
    why = getattr(telling, "why", "")
    return f"{result}: {why}" if result is Result.SKIPPED and why else str(result)
