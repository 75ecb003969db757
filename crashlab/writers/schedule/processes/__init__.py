"""Schedules whose actors are real processes: the contract of `crashlab.writers.schedule.decide`, kept by a coordinator.

- `memory`: what they share: the grant, the trace, and what the actors tell.
- `token`: who may run: one process at a time, the others wait in the kernel.
- `turns`: the actor's end. Within a grant a call costs a subtraction, as with threads.
- `crew`: the coordinator: forks the actors, keeps them from schedule to schedule, asks `decide`, kills.
- `stuck`: where an actor is that does not come back.
"""
