"""What the crashes of recoveries showed, and how many were asked for, as plain data."""

import msgspec

__all__ = ["EVERY_POINT", "RecoveryCrashes", "RecoveryLimits", "RecoveryMismatch"]

EVERY_POINT = "every operation of every recovery was a crash point"


class RecoveryLimits(msgspec.Struct, frozen=True):
    """How much is done: `representatives` of each fault model; `points` at most of each recovery, the rest sampled.

    `deeper` points of each representative are recoveries that are recorded and crashed in their turn, at
    `deeper_points` each. `restarts`: of the program, in all of one model.
    """

    representatives: int = 50
    points: int = 600
    deeper: int = 2
    deeper_points: int = 40
    restarts: int = 20_000


class RecoveryMismatch(msgspec.Struct, frozen=True):
    """A recovery that was crashed and run again, and came to something else than the one that was not crashed.

    `representative`: the crash state that the first recovery began from. `crashes`: the crash states of that
    recovery, and of the recovery after it. `during`: the operation before which each of these crashes came.
    `expected`, `found`: what is there only without the crash, and only with it.
    """

    representative: str
    fault_class: str
    crashes: tuple[str, ...]
    during: tuple[str, ...]
    expected: str
    found: str

    def __str__(self) -> str:
        path = ", then ".join(
            f"the recovery crashed at {crash} ({during})"
            for crash, during in zip(self.crashes, self.during, strict=True)
        )
        return f"from {self.representative}: {path}; expected {self.expected}; found {self.found}"


class RecoveryCrashes(msgspec.Struct, frozen=True):
    """The counts.

    `exist`: representatives there are; `representatives` of them were recovered, recorded and crashed,
    `unsound` left out, since not even the recovery that is not crashed leaves a sound database. `operations`:
    recorded in all recoveries. `points`: crash points of these (depth 1), `points_deeper`: of recoveries that
    began from one of those (depth 2); `disks`: different disks among them all; `restarts`: times that the
    program was started. `mismatches`: how many points did not converge, the first of them in `witnesses`.
    `unseen`: files that a start-up wrote past SQLite: they are in no crash state of its recovery, so a program that
    relies on one there is not judged.
    """

    exist: int = 0
    representatives: int = 0
    unsound: int = 0
    recordings: int = 0
    operations: int = 0
    points: int = 0
    points_deeper: int = 0
    disks: int = 0
    restarts: int = 0
    mismatches: int = 0
    witnesses: tuple[RecoveryMismatch, ...] = ()
    stops: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def stop(self) -> str:
        """Why it ended."""
        return "; ".join(self.stops) or EVERY_POINT

    def plus(self, other: "RecoveryCrashes") -> "RecoveryCrashes":
        """Return the counts of both, for several fault models of one recording."""
        counts = {
            name: getattr(self, name) + getattr(other, name)
            for name in self.__struct_fields__
            if name not in ("witnesses", "stops", "unseen")
        }
        stops = tuple(dict.fromkeys(self.stops + other.stops))
        unseen = tuple(sorted({*self.unseen, *other.unseen}))
        return RecoveryCrashes(**counts, witnesses=self.witnesses + other.witnesses, stops=stops, unseen=unseen)

    def __str__(self) -> str:
        return (
            f"recovery crashes: {self.representatives:,} of {self.exist:,} representatives, {self.points:,} crash "
            f"points of their recoveries and {self.points_deeper:,} of recoveries from those, {self.disks:,} different "
            f"disks, {self.restarts:,} restarts, {self.mismatches:,} that did not converge; {self.stop}"
            + (f"; not seen: {', '.join(self.unseen)}" if self.unseen else "")
        )
