"""Running somebody's unmodified Python program with the tap inside.

- `launch`: the command is started with a private start-up hook on its PYTHONPATH, and ended at its limits.
- `startup/`: the hook; every Python that the command starts runs it before its program.
- `begin`: what the hook puts in place: the recorder, the guard, the ack channel.
- `guard`: nothing outside the private copy is opened for writing, and no database there at all.
- `output`: lines of output that are acks go into the log before they leave the process.
- `spool`: what each process tells the lab.
"""
