"""A broken WAL made right where its checksums prove how: one flipped bit, a lost header, the lost end of a frame.

Works on a private copy of the WAL and writes into it. A frame's checksum has 64 bits: what makes it right is right.
Only the number of bits that have the same effect is left open: several bits of a page can mend the same sum.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from crashlab.diagnosis.autopsy.bits import Flip, flipped_frame_bits, flipped_wal_header_bits, turned
from crashlab.diagnosis.salvage.report import Mended
from crashlab.sqlite.buffers import Buffer, FileBuffer
from crashlab.sqlite.checksum import FRAME_HEADER, checksum, frame_checksums
from crashlab.sqlite.wal import HEADER_SIZE, MAGIC_BIG, MAGIC_LITTLE, VERSION, ChainEnd, Wal, parse_wal_buffer

__all__ = ["mend"]

MENDS_MAX = 16
SEQUENCES_MAX = 50_000
"""Checkpoint sequence numbers that are tried for a lost header."""
LOOK_AHEAD = 1_000
"""Frames behind a broken one in which its page is looked for."""
_SECTOR = 512


def mend(path: Path, name: str, main: Buffer, page_size: int) -> tuple[Mended, ...]:
    """Mend a copy of a WAL in place, break by break. `page_size` is the database's, for a header that is lost."""
    done: list[Mended] = []
    while len(done) < MENDS_MAX:
        with FileBuffer(str(path)) as data:
            wal = parse_wal_buffer(data)
            found = _mended(data, wal, main, page_size)
        if found is None:
            break
        at, raw, frame, what, proven = found
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(raw)
        with FileBuffer(str(path)) as data:
            after = parse_wal_buffer(data)
        done.append(Mended(name, frame, what, proven))
        if after.valid <= wal.valid and not (wal.problem and not after.problem):
            break  # it did not help: never twice the same
    return tuple(done)


_Found = tuple[int, bytes, int, str, bool]


def _mended(data: Buffer, wal: Wal, main: Buffer, page_size: int) -> _Found | None:
    """Where to write what: offset, bytes, frame (from 1; 0 is the header), in words, proven."""
    if wal.end is ChainEnd.EMPTY:
        return None
    if wal.end is ChainEnd.HEADER:
        return _header(data, page_size)
    if wal.end in (ChainEnd.CHECKSUM, ChainEnd.SALT, ChainEnd.PAGE_ZERO) and wal.tail_frames:
        return _flipped(data, wal, main) or _torn(data, wal, main)
    return _torn(data, wal, main) if wal.end is ChainEnd.PARTIAL_FRAME else None


def _header(data: Buffer, page_size: int) -> _Found | None:
    raw = data.read(0, HEADER_SIZE)
    flips = flipped_wal_header_bits(raw)
    if len(flips) > 1:  # the salts of the first frame are a second opinion
        there = data.read(HEADER_SIZE + 8, 8)
        flips = tuple(flip for flip in flips if turned(raw, flip)[16:24] == there) or flips
    if flips:
        bit = f"bit {flips[0].bit} of byte {flips[0].byte} of the WAL's header turned over"
        return 0, turned(raw, flips[0]), 0, bit, len(flips) == 1
    for size in (page_size, int.from_bytes(raw[8:12])):
        if 512 <= size <= 65536 and not size & (size - 1):
            for made in _headers(data, size):
                return 0, made, 0, "the WAL's header written anew: the first frame's checksum fits no other", True
    return None


def _headers(data: Buffer, size: int) -> Iterator[bytes]:
    """The header that the first frame's checksum calls for; only its sequence number has to be tried."""
    frame = data.read(HEADER_SIZE, FRAME_HEADER + size)
    if len(frame) < FRAME_HEADER + size or not int.from_bytes(frame[:4]):
        return
    wanted = struct.unpack(">2I", frame[16:24])
    for magic in (MAGIC_LITTLE, MAGIC_BIG):
        big = bool(magic & 1)

        def after(seed: tuple[int, int], big: bool = big) -> tuple[int, int]:
            return frame_checksums(frame, page_size=size, frames=1, seed=seed, big_endian=big, offset=0)[0]

        base, one, two = after((0, 0)), after((1, 0)), after((0, 1))  # the sum is linear in what it starts from
        for sequence in range(SEQUENCES_MAX):
            body = struct.pack(">4I", magic, VERSION, size, sequence) + frame[8:16]
            seed = checksum(body, big_endian=big)
            sums = tuple(
                (base[i] + (one[i] - base[i]) * seed[0] + (two[i] - base[i]) * seed[1]) & 0xFFFFFFFF for i in (0, 1)
            )
            if sums == wanted:
                yield body + struct.pack(">2I", *seed)
                return


def _flipped(data: Buffer, wal: Wal, main: Buffer) -> _Found | None:
    flips = flipped_frame_bits(data, wal)
    if not flips:
        return None
    raw = data.read(wal.offset(wal.valid), FRAME_HEADER + wal.page_size)
    flip, sure = _likeliest(flips, raw, data, wal, main)
    which = "" if sure else f", or another of {len(flips)} bits that mend it as well"
    what = f"bit {flip.bit} of byte {flip.byte} of frame {wal.valid + 1} turned over{which}"
    return wal.offset(wal.valid), turned(raw, flip), wal.valid + 1, what, sure


def _likeliest(flips: tuple[Flip, ...], raw: bytes, data: Buffer, wal: Wal, main: Buffer) -> tuple[Flip, bool]:
    """Of several bits the one that makes its byte what another image of the page has; and whether there is one."""
    if len(flips) == 1:
        return flips[0], True
    for image in (*_newer(raw, data, wal), *_older(int.from_bytes(raw[:4]), data, wal, main)):
        agreeing = [
            flip
            for flip in flips
            if flip.byte >= FRAME_HEADER
            and len(image) == wal.page_size
            and image[flip.byte - FRAME_HEADER] == raw[flip.byte] ^ 1 << flip.bit
        ]
        if len(agreeing) == 1:
            return agreeing[0], True
    return flips[0], False


def _newer(raw: bytes, data: Buffer, wal: Wal) -> Iterator[bytes]:
    """The next image of a page behind its broken frame, where most of it is still as the broken one had it."""
    stride = FRAME_HEADER + wal.page_size
    for frame in range(wal.valid + 1, min(wal.valid + wal.tail_frames, wal.valid + LOOK_AHEAD)):
        head = data.read(wal.offset(frame), FRAME_HEADER)
        if head[:4] == raw[:4] and head[8:16] == raw[8:16]:
            yield data.read(wal.offset(frame), stride)[FRAME_HEADER:]
            return


def _older(page: int, data: Buffer, wal: Wal, main: Buffer) -> Iterator[bytes]:
    """Older images of a page: its newest frame in the chain, then the main file's."""
    newest = next((at for at in range(wal.valid - 1, -1, -1) if wal.pages[at] == page), None)
    if newest is not None:
        yield data.read(wal.offset(newest) + FRAME_HEADER, wal.page_size)
    if page > 0:
        yield main.read((page - 1) * wal.page_size, wal.page_size)


def _torn(data: Buffer, wal: Wal, main: Buffer) -> _Found | None:
    """The frame of which a part is there, the rest of its page taken from an older image, where the sums then fit."""
    assert wal.header is not None
    size, at = wal.page_size, wal.offset(wal.valid)
    raw = data.read(at, FRAME_HEADER + size)
    salts = b"".join(salt.to_bytes(4) for salt in wal.header.salts)
    if len(raw) < FRAME_HEADER or raw[8:16] != salts or not int.from_bytes(raw[:4]):
        return None
    seed = wal.header.checksum
    if wal.valid:
        before = data.read(wal.offset(wal.valid - 1) + 16, 8)
        seed = int.from_bytes(before[:4]), int.from_bytes(before[4:])
    wanted = struct.unpack(">2I", raw[16:24])
    there = raw[FRAME_HEADER:]
    cuts = [len(there)]
    if len(there) == size:  # sectors of the file, or of the page
        cuts = sorted({*range(-(at + FRAME_HEADER) % _SECTOR, size, _SECTOR), *range(0, size, _SECTOR)} - {0})
    for image in _older(int.from_bytes(raw[:4]), data, wal, main):
        if len(image) != size:
            continue
        for cut in cuts:
            whole = raw[:FRAME_HEADER] + there[:cut] + image[cut:]
            found = frame_checksums(
                whole, page_size=size, frames=1, seed=seed, big_endian=wal.header.big_endian, offset=0
            )
            if found[0] == wanted:
                what = f"the last {size - cut} bytes of frame {wal.valid + 1} taken from the page's older image"
                return at, whole, wal.valid + 1, what, True
    return None
