"""A program's own files, recorded beside SQLite's: a row and its blob are judged together.

Python's file functions are replaced while a run is recorded (`PlainFiles.install` to `uninstall`): the
functions of `os` that change files, `open`, and `io.FileIO`, which everything buffered stands on. What reaches
a file's descriptor goes into the process's log with its bytes, between the tap's records and the acks.

- `names`: which files are recorded, and under which names.
- `ledger`: descriptors and what they stand for; the records.
- `calls`: the functions of `os` and `tempfile`, `shutil`'s fast ways.
- `stack`: `open()` and `FileIO`.
- `patch`: putting all that in place, in every module that holds one of the functions, and taking it away.
- `bypass`: an audit hook that notices what went past the replacements.
- `seccomp`: another way, for programs of any kind: at their system calls, on Linux.

What no replacement sees (memory maps, C extensions, other programs) must be found by the comparison with the
disk that ends every recording; see `crashlab.states.replay`.
"""

from crashlab.writers.record.plain import PlainFiles

__all__ = ["PlainFiles"]
