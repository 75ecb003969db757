"""Features of the WAL: what kind it is, what lies behind its end, and whether it belongs to its main file."""

from crashlab.diagnosis.autopsy.report import WalFacts
from crashlab.sqlite.buffers import Buffer
from crashlab.sqlite.generations import generations
from crashlab.sqlite.header import FileKind, HeaderReport, read_header
from crashlab.sqlite.wal import ChainEnd, Wal

__all__ = ["base_of", "tail_features", "wal_word"]

_UP_TO_COUNTER = 28


def wal_word(log: Wal) -> str:
    """What kind of a WAL it is, in the gallery's words."""
    if log.end is ChainEnd.EMPTY:
        return "empty"
    if log.end is ChainEnd.HEADER:
        return "header"
    if any(run.current for run in log.tail):
        return "broken"
    return "commits" if log.committed else "no-commit"


def tail_features(log: Wal, data: Buffer, seen: WalFacts | None, *, fresh: bool) -> dict[str, str]:
    """What lies behind the end of the chain. Frames of this generation that were committed are never there in health.

    `fresh`: the wal-index says that the WAL has just been restarted, so that nothing in it is needed.
    """
    features = {}
    if log.end is ChainEnd.HEADER:
        features["wal.tail"] = "unread" if log.size > 32 and not fresh else "none"
        features["wal.seam"] = "one bit" if seen and seen.repair else "none"
        return features
    current = [generation for generation in generations(data, log).found if generation.current]
    proven = any(remains.commits for remains in seen.remains if remains.current) if seen else False
    features["wal.tail"] = "commits" if proven else ("uncommitted" if current else "none")
    if seen and seen.repair:
        features["wal.seam"] = "one bit"
        features["wal.tail"] = "commits"  # the frame itself was whole once, and chains again with that bit
    elif proven:
        frames = sum(generation.frames for generation in current)
        one = sum(len(generation.remnants) for generation in current) == 1 and len(log.tail) == 1
        features["wal.seam"] = "clean" if one and frames and log.valid == log.committed else "gaps"
    if not log.committed and log.tail_frames and not current and not fresh:
        features["wal.restarted"] = "yes"
    return features


def base_of(report: HeaderReport, main: Buffer, data: Buffer, log: Wal, seen: WalFacts | None) -> str:
    """Whether this WAL was begun on this main file: fits, or the WAL is older or newer than the file, or none to tell.

    In WAL mode an image of page 1 carries the change counter that the writer read plus one, or once more what it
    wrote itself. So no image is behind the main file's counter, and the first is at most one ahead; and the schema
    cookie only grows. Pages that nobody has were in the main file that the WAL was begun on. A main file whose page 1
    begins as an image does was checkpointed from this WAL, perhaps up to the middle of that page.
    """
    header = report.header
    if header is None or not log.committed or seen is None or report.kind is not FileKind.DATABASE:
        return "none"
    if seen.holes:
        return "newer"
    if seen.first_counter < 0 or header.page_size != log.page_size:
        return "fits" if header.page_size == log.page_size else "older"
    ours = main.read(0, _UP_TO_COUNTER)
    images = (data.read(log.offset(at) + 24, log.page_size) for at, page in enumerate(log.pages) if page == 1)
    lowest, cookie = seen.first_counter, -1
    for image in images:
        if image.startswith(ours):
            return "fits"
        found = read_header(image, log.page_size).header
        if found:
            lowest = min(lowest, found.change_counter)
            cookie = found.schema_cookie if cookie < 0 else cookie
    if lowest < header.change_counter or (0 <= cookie < header.schema_cookie):
        return "older"
    return "newer" if seen.first_counter > header.change_counter + 1 else "fits"
