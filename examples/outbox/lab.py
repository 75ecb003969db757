"""The outbox as crashlab sees it: how to open it, what it does step by step, what must be in the file then."""

from collections.abc import Iterator

from crashlab import Context, Contract, Effect, Lane, Step, Table
from outbox import Outbox


class OutboxWorkload:
    """Puts messages and marks every second one as sent."""

    contract = Contract()  # what SQLite itself promises: a process death loses nothing that was acked
    tables = (Table("message", key=("number",), value=("body", "sent")),)
    checks = ()
    params = {"messages": 60, "commit_every": 1, "checkpoint_every": 0}

    def open(self, ctx: Context) -> Outbox:
        every, checkpoint = int(ctx.params["commit_every"]), int(ctx.params["checkpoint_every"])
        return Outbox(ctx.database, connect=ctx.connect, commit_every=every, checkpoint_every=checkpoint)

    restart = open  # the program starts after a crash as it always does

    def lanes(self, ctx: Context) -> tuple[Lane, ...]:
        return (Lane("main"),)

    def steps(self, lane: Lane, outbox: Outbox, ctx: Context) -> Iterator[Step]:
        seq = 0
        for number in range(int(ctx.params["messages"])):
            body = f"message {number}, {ctx.rng.randrange(10**6)}"
            stored = Effect("message", (number,), (body, 0))
            yield Step(seq, (stored,), lambda n=number, text=body: outbox.put(n, text))
            seq += 1
            if number % 2:
                sent = Effect("message", (number,), (body, 1))
                yield Step(seq, (sent,), lambda n=number: outbox.mark_sent(n))
                seq += 1


workload = OutboxWorkload()
