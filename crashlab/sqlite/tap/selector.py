"""Which calls a listener is about: `wal.write#5`, `main.sync`, `shm.lock`, `any.delete#2 phase=close`.

    role.operation[.after][#n][ phase=NAME][ file=NAME]

`role`: any, main, wal, shm, journal, super-journal, other. `n`: the n-th matching call, 1 when not given.
`.after`: when the call has been done; else before it. `phase`: only calls while the program is in that phase.
`file`: only calls on the file of that name (without directories), to tell databases apart.
"""

import os
import re
import threading
from dataclasses import dataclass

from crashlab.errors import UsageError, did_you_mean
from crashlab.log.trace import Role
from crashlab.sqlite.tap.call import Call
from crashlab.sqlite.tap.operation import SHM_OPERATIONS, Operation

__all__ = ["Selector", "Trip"]

ANY = "any"
_SHM = "shm-"
_ROLES = {str(role): role for role in Role if role is not Role.PLAIN}
_OPERATIONS = {str(operation): operation for operation in Operation}
_TEXT = re.compile(r"(?P<what>[^\s#]+)(?:#(?P<n>[^\s#]+))?(?P<keys>(?:\s+\S+)*)\s*")
_KEY = re.compile(r"(phase|file)=(\S+)")
N_MAX = 10**9


@dataclass(frozen=True, slots=True)
class Selector:
    """The n-th call of an operation on files of a role. `role` None and empty texts match everything."""

    operation: Operation
    role: Role | None = None
    n: int = 1
    after: bool = False
    phase: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.n <= N_MAX:
            raise UsageError(f"selector: call number {self.n}, expected 1 to {N_MAX}")
        shared = self.operation in SHM_OPERATIONS
        if shared and self.role is None:
            object.__setattr__(self, "role", Role.SHM)
        elif shared != (self.role is Role.SHM):
            raise UsageError(f"selector: no operation {self.operation} on {self.role} files")

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Read the text form.

        Raises:
            UsageError: it isn't one; names the part that is wrong.
        """
        matched = _TEXT.fullmatch(text.strip())
        if matched is None:
            raise UsageError(f"selector {text!r}: expected role.operation, such as wal.write#5")
        role_name, _, rest = matched["what"].partition(".")
        operation_name, _, edge = rest.partition(".")
        if role_name != ANY and role_name not in _ROLES:
            close = did_you_mean(role_name, [ANY, *_ROLES])
            raise UsageError(
                f"selector {text!r}: no file role {role_name!r}{close or f'; expected {_or([ANY, *_ROLES])}'}"
            )
        role = _ROLES.get(role_name)
        known = _operations_of(role)
        if operation_name not in known:
            close = did_you_mean(operation_name, known)
            raise UsageError(
                f"selector {text!r}: no operation {operation_name!r} on {role_name}"
                f"{close or f'; expected {_or(known)}'}"
            )
        if edge not in ("", "after"):
            raise UsageError(f"selector {text!r}: {edge!r} after the operation, expected nothing or 'after'")
        n = matched["n"]
        if n is not None and (not re.fullmatch(r"[0-9]{1,10}", n) or not 1 <= int(n) <= N_MAX):
            raise UsageError(f"selector {text!r}: call number {n!r}, expected 1 to {N_MAX}")
        keys: dict[str, str] = {}
        for word in matched["keys"].split():
            pair = _KEY.fullmatch(word)
            if pair is None or pair[1] in keys:
                raise UsageError(f"selector {text!r}: {word!r} is not one phase=NAME and one file=NAME")
            keys[pair[1]] = pair[2]
        return cls(
            known[operation_name], role, int(n or 1), edge == "after", keys.get("phase", ""), keys.get("file", "")
        )

    def __str__(self) -> str:
        operation = str(self.operation).removeprefix(_SHM)
        text = f"{self.role or ANY}.{operation}{'.after' if self.after else ''}#{self.n}"
        if self.phase:
            text += f" phase={self.phase}"
        return text + (f" file={self.file}" if self.file else "")

    def matches(self, call: Call) -> bool:
        """Whether a call is one of those that are counted."""
        return (
            call.operation is self.operation
            and (self.role is None or call.role is self.role)
            and (not self.file or os.path.basename(call.name) == self.file)
            and (not self.phase or call.tap.phase() == self.phase)
        )


class Trip:
    """Counts the calls that a selector matches and tells when the n-th is there. Safe for threads.

    `from_then_on`: every call from the n-th on is due, not the n-th alone. `seen`: matching calls so far;
    `fired`: those that were due. A run that ends with `fired` 0 was MISSED.
    """

    def __init__(self, selector: Selector, *, from_then_on: bool = False) -> None:
        self.selector = selector
        self.seen = 0
        self.fired = 0
        self.enabled = True
        self._from_then_on = from_then_on
        self._lock = threading.Lock()

    def due(self, call: Call) -> bool:
        """Count the call if it matches; whether it is the one. A trip that is not `enabled` counts on."""
        if not self.selector.matches(call):
            return False
        with self._lock:
            self.seen += 1
            due = self.enabled and (
                self.seen >= self.selector.n if self._from_then_on else self.seen == self.selector.n
            )
            self.fired += due
            return due


def _operations_of(role: Role | None) -> dict[str, Operation]:
    if role is Role.SHM:
        return {str(op).removeprefix(_SHM): op for op in Operation if op in SHM_OPERATIONS}
    return {name: op for name, op in _OPERATIONS.items() if op not in SHM_OPERATIONS}


def _or(names: "list[str] | dict[str, Operation]") -> str:
    return ", ".join(names)
