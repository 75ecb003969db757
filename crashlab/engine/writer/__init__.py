"""A writer under the lab: a function or a script in a private directory, recorded, with the user's own checks.

- `record`: one recorded run of a writer.
- `checks`: the user's checks on recovered databases.
- `judge`: one crash state against the writer's history and the checks; smaller states that fail alike.
- `saved`: failing states, kept with their recording.
- `walk`: crash states one by one, for what is no database.
"""
