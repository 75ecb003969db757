"""`open()` and `io.FileIO` that record what reaches the descriptor.

Everything that buffers in Python stands on a raw file whose `write` it calls, so the order and the size of
the writes in the log are exactly those that the operating system was given.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from crashlab.writers.record.ledger import Ledger

_CREATE_MODE = 0o666
_BUFFER_BYTES_MAX = 8 << 20
_NO_LINES = "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used"
_RealFileIO: Any = io.FileIO
_real_open = io.open


class _LikeFileIO(type):
    """Real files, opened before or only for reading, are instances too."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _RealFileIO)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _RealFileIO)


def make_file_class(ledger: Ledger) -> type:
    """Return the replacement of `io.FileIO`."""

    class FileIO(_RealFileIO, metaclass=_LikeFileIO):  # type: ignore[misc]
        def __init__(
            self, file: Any, mode: str = "r", closefd: bool = True, opener: Callable[..., int] | None = None
        ) -> None:
            if isinstance(file, int):
                super().__init__(file, mode, closefd)
                return

            def open_it(path: Any, flags: int) -> int:
                if opener is None:
                    return ledger.open(path, flags, _CREATE_MODE, None)
                depth, ledger.inside.depth = ledger.inside.depth, 0
                try:
                    return opener(path, flags)
                finally:
                    ledger.inside.depth = depth

            ledger.inside.depth += 1
            try:
                super().__init__(file, mode, closefd, open_it)
            finally:
                ledger.inside.depth -= 1

        def write(self, data: Any, /) -> Any:
            if self.closed:
                return super().write(data)  # which says so
            return ledger.write(self.fileno(), data, None, super().write)

        def truncate(self, size: int | None = None, /) -> Any:
            if self.closed or not self.writable():
                return super().truncate(size)
            wanted = self.tell() if size is None else size
            return ledger.truncate(self.fileno(), wanted, lambda: _RealFileIO.truncate(self, wanted))

        def close(self) -> None:
            if self.closed or not self.closefd:
                super().close()
            else:
                ledger.close(self.fileno(), super().close)

    return FileIO


def make_open(ledger: Ledger, file_class: Callable[..., Any]) -> Callable[..., Any]:
    """Return the replacement of `open`, which builds the same stack as the real one on a recorded file."""

    def open(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[..., int] | None = None,
    ) -> Any:
        text = "b" not in mode if isinstance(mode, str) else True
        if not _recorded(ledger, file, mode, opener) or not _sound(mode, text, buffering, encoding, errors, newline):
            # Also for mistakes in the arguments: the real one finds the right words.
            if text and isinstance(mode, str):
                encoding = io.text_encoding(encoding, 2)
            return _real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = file_class(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        result = raw
        try:
            if buffering == 1 and not text:
                import warnings

                warnings.warn(_NO_LINES, RuntimeWarning, 2)
            lines = buffering == 1 or (buffering < 0 and raw.isatty())
            if buffering < 0 or lines:
                buffering = _buffer_size(raw)
            if not buffering:
                if text:
                    raise ValueError("can't have unbuffered text I/O")
                return raw
            if "+" in mode:
                result = io.BufferedRandom(raw, buffering)
            elif "r" in mode:
                result = io.BufferedReader(raw, buffering)
            else:
                result = io.BufferedWriter(raw, buffering)
            if text:
                wrapped = io.TextIOWrapper(result, io.text_encoding(encoding, 2), errors, newline, lines)
                wrapped.mode = mode  # type: ignore[misc]
                result = wrapped
            return result
        except BaseException:
            result.close()
            raise

    return open


def _recorded(ledger: Ledger, file: Any, mode: Any, opener: object) -> bool:
    """Whether the file needs to be watched; all that is only read and has a name does not."""
    if not isinstance(mode, str):
        return False
    writes = bool(set("wax+") & set(mode))
    if isinstance(file, int):
        return file >= 0 and ledger.find(file).name is not None
    if not writes or not isinstance(file, str | bytes | os.PathLike):
        return False
    return opener is not None or ledger.name_of(file) is not None


def _sound(
    mode: str, text: bool, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> bool:
    """Whether the real `open` would come as far as opening the file."""
    kinds = [letter for letter in mode if letter in "rwax"]
    if len(set(mode)) != len(mode) or set(mode) - set("rwax+bt") or len(kinds) != 1 or ("b" in mode and "t" in mode):
        return False
    return text or (encoding is None and errors is None and newline is None)


def _buffer_size(raw: Any) -> int:
    size: int = raw._blksize
    if size <= 1:
        return io.DEFAULT_BUFFER_SIZE
    if sys.version_info >= (3, 14):
        return max(min(size, _BUFFER_BYTES_MAX), io.DEFAULT_BUFFER_SIZE)
    return size
