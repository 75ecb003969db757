"""Opening a database that may be damaged or a stranger's, without believing what its schema says.

https://sqlite.org/security.html : `trusted_schema=OFF` keeps the schema from calling functions with side effects,
`cell_size_check=ON` finds damaged pages early. But some versions (3.40.1, not 3.50.4) do not know that their own JSON
functions are harmless, and call a sound database with `CHECK (json_valid(x))` malformed: "unsafe use of
json_valid()". The connections here define no functions of their own, so that one complaint is not believed.
"""

import sqlite3

__all__ = ["distrust"]

_UNSAFE = "unsafe use of"


def distrust(connection: sqlite3.Connection) -> None:
    """Set a new connection to distrust its database; recovery, if one is due, happens here.

    What is wrong with the file is left for the caller's first statement to say.
    """
    connection.execute("pragma trusted_schema=off")
    connection.execute("pragma cell_size_check=on")
    try:
        connection.execute("select 1 from sqlite_master limit 1").fetchone()
    except sqlite3.Error as error:
        if _UNSAFE in str(error):
            connection.execute("pragma trusted_schema=on")
