"""One process runs, and hands on by a token: an eventfd where the system has it, else a pipe."""

import os

__all__ = ["Token"]


class Token:
    """Given by one process, taken by another, any number of times; it is inherited over a fork."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.descriptor = self._write = os.eventfd(0)
        else:
            self.descriptor, self._write = os.pipe()
            os.set_inheritable(self.descriptor, True)  # noqa: FBT003

    def give(self) -> None:
        """Let the taker go on."""
        os.write(self._write, b"\1\0\0\0\0\0\0\0" if self._write == self.descriptor else b"\1")

    def take(self) -> None:
        """Wait until it is given."""
        if not os.read(self.descriptor, 8):
            os._exit(0)  # whoever could give it is gone

    def close(self) -> None:
        """Release the descriptors."""
        os.close(self.descriptor)
        if self._write != self.descriptor:
            os.close(self._write)
