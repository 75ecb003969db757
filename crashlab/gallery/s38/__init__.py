"""S38: a trading engine's console window was closed while its write-ahead log was full of work.

The engine's database came back malformed and the close was blamed. This exhibit closes a real terminal on a
real writer and shows what that does by itself (uncommitted work and what only `close()` writes is gone,
nothing else), beside what people then do to the files (delete the `-wal`, copy the main file alone), which
does lose committed rows, and silently.
"""
