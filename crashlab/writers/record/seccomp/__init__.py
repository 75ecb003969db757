"""Recording any program on Linux, whatever it is written in: at its system calls, by seccomp.

A filter that the program and all its descendants inherit stops the calls that could change files, and hands
them to the recorder (`seccomp_unotify(2)`). What is about the run's directory the recorder does itself, on
the caller's own open files, and writes into the one log; all else goes on. No compiled code, no tracing.

- `tree`: `record_tree`, the way in; `launch`: the same for `crashlab run -- COMMAND`; `available`: `seccomp_problem`.
- `child`, `order`: the recorder's process; `listener`: its loop; `answers`, `bytes_calls`, `name_calls`: what
  is done about each call; `reply`: what a handler may say.
- `files`: the records; `tasks`: who calls; `guard`: what is refused; `acks`: the output; `space`: what it occupies.
- `quick`: writes and syncs of SQLite's files, which are nearly all calls that stop; `log`: the log that suits it.
- `program`, `numbers`, `kernel`: the filter and the kernel's calls.

What no call shows (maps for writing) is refused by name or found by the comparison with the disk that every
recording must end with; see `crashlab.states.replay`.
"""

from crashlab.writers.record.seccomp.available import seccomp_problem
from crashlab.writers.record.seccomp.launch import launch_tree
from crashlab.writers.record.seccomp.order import KillAt
from crashlab.writers.record.seccomp.tree import RecordedTree, record_tree

__all__ = ["KillAt", "RecordedTree", "launch_tree", "record_tree", "seccomp_problem"]
