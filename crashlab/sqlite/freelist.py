"""The freelist: trunk pages, and the leaf pages that each of them lists.

Format: https://sqlite.org/fileformat2.html#the_freelist . Any bytes are accepted.
"""

from dataclasses import dataclass

from crashlab.sqlite.pages import PageSource

__all__ = ["Freelist", "read_freelist"]

MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Freelist:
    """No page comes twice. ``claimed`` is the header's count of pages.

    ``problems`` holds (trunk page or 0, text): about MAX_PROBLEMS at most.
    """

    trunks: tuple[int, ...]
    leaves: tuple[int, ...]
    claimed: int
    problems: tuple[tuple[int, str], ...]

    @property
    def pages(self) -> int:
        """How many pages are on it."""
        return len(self.trunks) + len(self.leaves)


def read_freelist(source: PageSource) -> Freelist:
    """Follow the freelist of the database header; stops at a page that is not there or came before."""
    header = source.report.header
    if header is None:
        return Freelist((), (), 0, ())
    trunks: list[int] = []
    leaves: list[int] = []
    seen: set[int] = set()
    problems: list[tuple[int, str]] = []

    def usable(page: int, of: int) -> bool:
        if not 1 < page <= source.pages or page == source.lock_page:
            text = f"lists page {page} of {source.pages}" if of else f"begins at page {page} of {source.pages}"
        elif page in seen:
            text = f"lists page {page} a second time"
        else:
            seen.add(page)
            return True
        if len(problems) < MAX_PROBLEMS:
            problems.append((of, text))
        return False

    trunk, before = header.first_freelist_page, 0
    most = source.usable // 4 - 2
    while trunk and usable(trunk, before):
        trunks.append(trunk)
        data = source.head(trunk, source.usable)
        if len(data) < 8:
            problems.append((trunk, "trunk page is not in the file"))
            break
        count = int.from_bytes(data[4:8])
        if count > most:
            problems.append((trunk, f"trunk lists {count} pages, more than the {most} that fit"))
            count = 0
        places = range(8, 8 + 4 * count, 4)
        leaves.extend(page for page in (int.from_bytes(data[at : at + 4]) for at in places) if usable(page, trunk))
        before, trunk = trunk, int.from_bytes(data[:4])
    if len(trunks) + len(leaves) != header.freelist_pages:
        text = f"has {len(trunks) + len(leaves)} pages, the header says {header.freelist_pages}"
        problems.append((0, text))
    return Freelist(tuple(trunks), tuple(leaves), header.freelist_pages, tuple(problems))
