"""Any command as a tree of processes: started, watched, hit by a signal, and ended to the last of them (Linux).

- `confine`: this process and all it starts may write in given directories only.
- `processes`: what descends from this process, and how to end it.
- `openfiles`: which databases a tree has open.
- `run`: one run of a command, with its limits and the moment of its signal.

It runs in a process of its own for each tree, the keeper, which adopts what daemonises: so nothing escapes it.
"""
