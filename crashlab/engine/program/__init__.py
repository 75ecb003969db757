"""An unmodified program under the lab: a private copy, a recorded run, and its own history as the oracle.

- `private_copy`: what the program gets to work on.
- `record`: one recorded run of it, proven whole.
- `commits`: where the run's databases committed, and when each commit became durable.
- `named`: files that rows name.
- `legal`: the database after each commit, as real SQLite reads it.
- `explore`: crash states against that history.
- `restart`: the program's own start-up on sampled crash states.
- `case`: failing states, saved and replayed; `reduce`: made smaller.
"""
