"""The 100-byte database header, and what a file is that hasn't got one.

Format: https://sqlite.org/fileformat2.html#the_database_header . Pure functions of bytes; any bytes are
accepted.
"""

import struct
from enum import StrEnum
from typing import NamedTuple

__all__ = ["DatabaseHeader", "FileKind", "HeaderReport", "read_header"]

HEADER_SIZE = 100
MAGIC = b"SQLite format 3\x00"
_ENCODINGS = {1: "UTF-8", 2: "UTF-16le", 3: "UTF-16be"}


class FileKind(StrEnum):
    """What the first bytes and the length of a file say it is."""

    DATABASE = "SQLite database"
    ZERO_LENGTH = "zero length"
    TRUNCATED = "truncated"
    ENCRYPTED_LOOKING = "encrypted-looking"
    NOT_A_DATABASE = "not a database"


class DatabaseHeader(NamedTuple):
    """The header's fields, as they stand. Sizes are in bytes or pages as named."""

    page_size: int
    write_version: int
    read_version: int
    reserved_bytes: int
    change_counter: int
    size_pages: int
    first_freelist_page: int
    freelist_pages: int
    schema_cookie: int
    schema_format: int
    default_cache_size: int
    largest_root_page: int
    encoding: str
    user_version: int
    incremental_vacuum: bool
    application_id: int
    version_valid_for: int
    library_version: int

    @property
    def wal_mode(self) -> bool:
        """Both format versions are 2: the file is to be used with a write-ahead log."""
        return self.write_version == 2 and self.read_version == 2

    @property
    def auto_vacuum(self) -> str:
        """``none``, ``full`` or ``incremental``."""
        if not self.largest_root_page:
            return "none"
        return "incremental" if self.incremental_vacuum else "full"

    @property
    def size_is_valid(self) -> bool:
        """Whether ``size_pages`` may be trusted: set, and by a library that keeps it (3.7.0 on)."""
        return self.size_pages > 0 and self.change_counter == self.version_valid_for

    @property
    def library(self) -> str:
        """Version of the SQLite that last wrote ``version_valid_for``, such as ``3.40.1``."""
        number = self.library_version
        return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


class HeaderReport(NamedTuple):
    """What the file is, its header if it has one, and one line saying what is wrong (empty when nothing is).

    ``missing_pages`` counts the pages that a valid header promises and the file hasn't got. That alone is no
    damage while a WAL stands beside the file: a checkpoint writes page 1 first, and may be cut off after it.
    """

    kind: FileKind
    header: DatabaseHeader | None
    detail: str
    missing_pages: int = 0


def read_header(data: bytes | memoryview, size: int | None = None) -> HeaderReport:
    """Say what a file is from its first bytes and its size in bytes.

    100 bytes hold the header; 512 are needed to tell encrypted from foreign. ``size`` defaults to
    ``len(data)``.
    """
    size = len(data) if size is None else size
    start = bytes(data[:512])
    if not size:
        return HeaderReport(FileKind.ZERO_LENGTH, None, "the file has 0 bytes")
    if not start.startswith(MAGIC[: len(start)]):
        return _foreign(start, size)
    if size < HEADER_SIZE or len(start) < HEADER_SIZE:
        return HeaderReport(FileKind.TRUNCATED, None, f"{size} bytes, a database header has {HEADER_SIZE}")
    header = _parse(start)
    if not header.page_size:
        found = int.from_bytes(start[16:18])
        return HeaderReport(FileKind.NOT_A_DATABASE, header, f"page size {found} is no power of two from 512 to 65536")
    if size < header.page_size:
        detail = f"{size} bytes, less than one page of {header.page_size}"
        return HeaderReport(FileKind.TRUNCATED, header, detail)
    pages = size // header.page_size
    if header.size_is_valid and pages < header.size_pages:
        missing = header.size_pages - pages
        detail = f"{pages} of the {header.size_pages} pages that the header promises"
        return HeaderReport(FileKind.DATABASE, header, detail, missing)
    return HeaderReport(FileKind.DATABASE, header, "")


def _parse(raw: bytes) -> DatabaseHeader:
    page_size, write_version, read_version, reserved = struct.unpack_from(">HBBB", raw, 16)
    if page_size == 1:
        page_size = 65536  # the field has 16 bits
    if not 512 <= page_size <= 65536 or page_size & (page_size - 1):
        page_size = 0
    counter, pages, free_first, free_count, cookie, schema_format = struct.unpack_from(">6I", raw, 24)
    cache, root, encoding, user, vacuum, app = struct.unpack_from(">iIIiII", raw, 48)
    valid_for, library = struct.unpack_from(">2I", raw, 92)
    return DatabaseHeader(
        page_size=page_size,
        write_version=write_version,
        read_version=read_version,
        reserved_bytes=reserved,
        change_counter=counter,
        size_pages=pages,
        first_freelist_page=free_first,
        freelist_pages=free_count,
        schema_cookie=cookie,
        schema_format=schema_format,
        default_cache_size=cache,
        largest_root_page=root,
        encoding=_ENCODINGS.get(encoding, f"unknown ({encoding})"),
        user_version=user,
        incremental_vacuum=bool(vacuum),
        application_id=app,
        version_valid_for=valid_for,
        library_version=library,
    )


def _foreign(start: bytes, size: int) -> HeaderReport:
    """Encrypted pages look random: whole pages in size, and about 221 of 256 byte values in any 512 bytes."""
    if size % 512 == 0 and len(start) == 512 and len(set(start)) >= 180:
        detail = "no SQLite header, but whole pages of random-looking bytes: an encrypted database?"
        return HeaderReport(FileKind.ENCRYPTED_LOOKING, None, detail)
    return HeaderReport(FileKind.NOT_A_DATABASE, None, f"begins with {start[:16]!r}, not with {MAGIC!r}")
