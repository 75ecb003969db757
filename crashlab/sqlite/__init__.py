"""All that knows SQLite: its file formats read from bytes, the library found, private copies and checks."""
