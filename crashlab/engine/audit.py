"""What a workload says of itself once: its checks, what they stand for, and audits of what surrounds it.

An audit is about something that no crash changes (a configuration file, the kind of a callable), so it runs
once a gate and not once a trial. Runs in a judge's process, where the workload is imported.
"""

import msgspec

from crashlab.errors import SubjectError
from crashlab.model.workload import Workload

__all__ = ["AuditOrder", "Audited", "audit"]

LINES_MAX = 20


class AuditOrder(msgspec.Struct, frozen=True, tag=True):
    """Ask a judge for the workload's audits."""


class Audited(msgspec.Struct, frozen=True):
    """`checks`: names of the workload's checks. `requirements`: requirement -> checks and audits that stand for it.

    `audits`: name of each audit -> what it complains of.
    """

    checks: tuple[str, ...] = ()
    requirements: dict[str, tuple[str, ...]] = {}
    audits: dict[str, tuple[str, ...]] = {}


def audit(workload: Workload) -> Audited:
    """Run the audits.

    Raises:
        SubjectError: a requirement names neither a check nor an audit, or nothing at all.
    """
    checks = tuple(check.name for check in getattr(workload, "checks", ()))
    audits = {each.name: tuple(each.run())[:LINES_MAX] for each in getattr(workload, "audits", ())}
    requirements = {name: tuple(parts) for name, parts in getattr(workload, "requirements", {}).items()}
    for name, parts in requirements.items():
        unknown = [part for part in parts if part not in checks and part not in audits]
        if unknown or not parts:
            raise SubjectError(
                f"requirement {name!r} rests on {', '.join(unknown) or 'nothing'}; known checks and audits: "
                f"{', '.join((*checks, *audits))}"
            )
    return Audited(checks, requirements, audits)
