"""Schedules whose actors are real processes: the contract of `crashlab.writers.schedule.decide`, kept by a coordinator.

- `memory`: what they share: the grant, the trace, and what the actors tell.
- `token`: who may run: one process at a time, the others wait in the kernel.
- `turns`: the actors' end. Within a grant a call costs a subtraction, as with threads.
- `member`, `members`: the life of a process, and the processes as the coordinator has them.
- `crew`: the coordinator: asks `decide`, hands the token on, lets faults befall the actors.
- `stuck`: where an actor is that does not come back.
"""
