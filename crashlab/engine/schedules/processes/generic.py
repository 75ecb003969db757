"""The generic workload with a process for each lane."""

from crashlab.engine.schedules.generic import GenericWorkload, Opened
from crashlab.model.step import Lane
from crashlab.model.workload import Context

__all__ = ["GenericProcesses"]


class GenericProcesses(GenericWorkload):
    """As `GenericWorkload`; each process opens the connection of its own lane."""

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        """One lane a word, each in a process of its own."""
        return tuple(Lane(lane.name, process=number) for number, lane in enumerate(super().lanes(ctx)))

    def open(self, ctx: Context) -> Opened:
        """Open this process's connection; the first begins the WAL, and each has read once."""
        connection = self.connect(ctx)
        if not ctx.process:
            self.begin_wal(connection)
        connection.execute("SELECT id FROM t").fetchall()
        return Opened({chr(97 + ctx.process): connection})


workload = GenericProcesses()
