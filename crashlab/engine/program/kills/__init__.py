"""Real kills of any program: a signal to its whole tree of processes at a random moment, then generic checks (Linux).

- `orders`: what crosses between the lab and a keeper, and what an unkilled run taught.
- `keeper`, `keeper_client`: the process in which a program runs and its databases are read, and its owner's side.
- `read`: what a database holds, read by real SQLite from a private copy.
- `survey`: an unkilled run: which checks can be made of this program at all.
- `judge`: a killed run against them.
- `learn`: the unkilled runs, and what is refused by name before anything is killed.
- `moments`: when to hit: drawn over the program's own duration.
- `road`: a case becomes an outcome.
- `case`: a failing trial kept; it holds no command.
"""
