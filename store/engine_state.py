"""Engine state: one text value for each key."""

from store.connection import Database
from store.validation import name, text


class EngineState(Database):
    """Reading and writing the key-value table `engine_state`."""

    def set_engine_state(self, key: str, value: str) -> None:
        """Insert or replace the value of `key`; durable when the call returns, outside a `transaction()`."""
        self._write(
            "INSERT INTO engine_state (key, value, updated_at) VALUES (?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
            (name(key, "key"), text(value, "value"), self._clock()),
        )

    def get_engine_state(self, key: str, default: str | None = None) -> str | None:
        """The value of `key`, or `default` when it was never set."""
        rows = self._read("SELECT value FROM engine_state WHERE key = ?", (name(key, "key"),))
        return str(rows[0][0]) if rows else default

    def engine_states(self) -> dict[str, str]:
        """Every key with its value, in the order of the keys."""
        return dict(self._read("SELECT key, value FROM engine_state ORDER BY key"))

    def delete_engine_state(self, key: str) -> bool:
        """Remove `key`; whether it was there."""
        return self._write("DELETE FROM engine_state WHERE key = ?", (name(key, "key"),))[1] > 0
