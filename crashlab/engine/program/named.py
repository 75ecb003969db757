"""Files that rows name: which text is a name, and what the named file must be.

A text names a file of the program's if it is its path in the working directory, relative or absolute, or the end of
just one of these paths. Text may equal a path by chance, so the run itself is asked: what it goes on changing from one
commit to the next (a log), what it removes while a row still has the name, and what is not there at its end is no file
that a row promises.
"""

import posixpath
from collections.abc import Iterator

import msgspec

from crashlab.engine.program.commits import Commits
from crashlab.log.trace import Role, TraceKind
from crashlab.states.materialise import Materialiser
from crashlab.states.pending import DATA_KINDS, ENTRY_KINDS, apply_entry
from crashlab.states.recover import Logical
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import Trace

__all__ = ["Named", "Namer", "NamesSeen"]

NAME_CHARS_MAX = 4096


class Named(msgspec.Struct, frozen=True):
    """A file that a row names. `content`: what it must hold, None where the program changed it after the commit."""

    path: str
    content: bytes | None


class Namer:
    """Which file a text names, of the files that a run made or changed."""

    def __init__(self, trace: Trace) -> None:
        self.paths = {file.path for file in trace.files if file.role is Role.PLAIN}
        self.paths |= {trace.paths[target] for target in trace.targets if target >= 0}
        self._by_end: dict[str, str] = {}
        for path in sorted(self.paths):
            for end in _ends(path):
                self._by_end[end] = "" if end in self._by_end else path
        self._known: dict[str, str] = {}

    def names_in(self, logical: Logical) -> set[str]:
        """Return the paths that values of text columns name."""
        if not self.paths:
            return set()
        rows = (row for result in logical.results[1:] if not isinstance(result, str) for row in result)
        return {path for row in rows for value in row if isinstance(value, str) if (path := self._path(value))}

    def _path(self, text: str) -> str:
        if text in self.paths:
            return text
        if len(text) > NAME_CHARS_MAX or not ("/" in text or "." in text):
            return ""
        found = self._known.get(text)
        if found is None:
            clean = posixpath.normpath(text)
            absolute = posixpath.isabs(clean)
            ends = (end for end in _ends(clean) if end in self.paths) if absolute else iter((clean,))
            path = next(ends, "")
            found = self._known[text] = path if path in self.paths else self._by_end.get(path, "")
        return found


class NamesSeen:
    """Follows names through the commits of one database."""

    def __init__(self, trace: Trace, commits: Commits, namer: Namer) -> None:
        self._trace, self._commits, self._namer = trace, commits, namer
        self._first: dict[str, int] = {}
        self._there: set[str] = set()
        self._by_chance: set[str] = set()
        self._named: set[str] = set()
        self._names = dict(trace.initial_names)
        self._done = 0

    def see(self, moment: int, logical: Logical) -> None:
        """Look at the database after a commit; moments ascend."""
        self._named = self._namer.names_in(logical)
        for path in self._named:
            self._first.setdefault(path, moment)
        self._look(moment)

    def files(self, files: Materialiser) -> dict[str, Named]:
        """Return the named files, by path, after the last commit was seen."""
        self._look(len(self._trace))
        self._by_chance |= self._named - self._there
        changes = self._changes()
        found = {}
        for path, moment in sorted(self._first.items()):
            later = [op for op, _ in changes.get(path, ()) if op >= moment]
            made = {self._commits.done(op) for op, kind in changes.get(path, ()) if op >= moment and kind}
            if path not in self._by_chance and len(made) < 2:
                found[path] = Named(path, None if later else self._content(files, path, moment))
        return found

    def _look(self, moment: int) -> None:
        trace = self._trace
        for op in range(self._done, moment):
            if trace.kinds[op] in ENTRY_KINDS:
                apply_entry(trace, op, self._names)
        self._done = max(self._done, moment)
        self._by_chance |= {path for path in self._named & self._there if path not in self._names}
        self._there |= {path for path in self._named if path in self._names}

    def _changes(self) -> dict[str, list[tuple[int, bool]]]:
        """For each name the operations that concern its file, and whether they made or changed it."""
        trace = self._trace
        found: dict[str, list[tuple[int, bool]]] = {path: [] for path in self._first}
        for op in range(len(trace)):
            kind = trace.kinds[op]
            if kind not in DATA_KINDS and kind not in ENTRY_KINDS:
                continue
            target = trace.paths[trace.targets[op]] if kind == TraceKind.RENAME else ""
            name = trace.paths[trace.names[op]]
            for path in {name, trace.files[trace.inodes[op]].path, target} & found.keys():
                found[path].append((op, kind in (TraceKind.WRITE, TraceKind.TRUNCATE, TraceKind.CREATE)))
        return found

    def _content(self, files: Materialiser, path: str, moment: int) -> bytes | None:
        there = files.show(CrashState(KILL, moment)) / path
        return there.read_bytes() if there.is_file() else None


def _ends(path: str) -> Iterator[str]:
    """Yield a path without its first part, without its first two, …"""
    parts = path.split("/")
    for start in range(1, len(parts)):
        yield "/".join(parts[start:])
