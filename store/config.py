"""The engine's configuration: the `engine:` block of a YAML file, and how blocks are read."""

import logging
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from store.errors import StoreValidation
from store.validation import did_you_mean, number, shown, text

_log = logging.getLogger(__name__)

Block = TypeVar("Block")

BLOCKS: Final = ("engine", "strategy", "risk")
_MAX_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class EngineConfig:
    """How the engine runs; immutable and checked on construction (raises StoreValidation).

    `tick_interval_seconds` is the pause between two decisions, `dry_run` trades nothing, `db_path` is
    the state's file, `wal_checkpoint_interval_seconds` the checkpoint loop's interval (0 or less: no loop).
    """

    tick_interval_seconds: float = 4
    dry_run: bool = False
    db_path: str = "neo_state.db"
    wal_checkpoint_interval_seconds: float = 60

    def __post_init__(self) -> None:
        tick = number(self.tick_interval_seconds, "engine.tick_interval_seconds")
        if tick <= 0:
            raise StoreValidation(f"engine.tick_interval_seconds must be greater than 0, not {shown(tick)}")
        if not isinstance(self.dry_run, bool):
            raise StoreValidation(f"engine.dry_run must be true or false, not {shown(self.dry_run)}")
        if not text(self.db_path, "engine.db_path", 4096).strip():
            raise StoreValidation("engine.db_path must not be empty")
        # Zero and less are the checkpoint loop's to interpret: it starts nothing and says so.
        number(self.wal_checkpoint_interval_seconds, "engine.wal_checkpoint_interval_seconds")

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Self:
        """Read the `engine:` block; each missing key's default is logged at INFO.

        Raises StoreValidation, naming the file, for unknown or repeated keys, wrong types, a missing
        block, and a file that cannot be read. The other blocks are `TradingConfig`'s to judge.
        """
        source = Path(text(os.fspath(path), "path", 4096))
        try:
            return build(cls, "engine", read_blocks(source), source)
        except StoreValidation as error:
            raise StoreValidation(f"{source}: {error}") from error


def read_blocks(source: Path) -> Mapping[str, object]:
    """The blocks of the file by name; raises StoreValidation for a file or block that is none."""
    document = _load(source)
    if not isinstance(document, dict):
        raise StoreValidation("expected a mapping with an 'engine:' block at the top")
    for key in document:
        if key not in BLOCKS:
            raise StoreValidation(f"unknown block {shown(key)}; {did_you_mean(key, BLOCKS)}")
    return document


def build(cls: type[Block], name: str, blocks: Mapping[str, object], source: Path) -> Block:
    """Make the dataclass of one block; each missing key's default is logged at INFO.

    Raises StoreValidation for a missing block, an unknown key, or a missing key that has no default.
    """
    if name not in blocks:
        raise StoreValidation(f"there is no '{name}:' block")
    block = blocks[name]
    if not isinstance(block, dict):
        raise StoreValidation(f"'{name}:' must be a mapping of keys to values, not {shown(block)}")
    known = {field.name: field.default for field in fields(cls)}  # type: ignore[arg-type]
    for key in block:
        if key not in known:
            raise StoreValidation(f"unknown key {name}.{key}; {did_you_mean(key, known)}")
    missing = {key: default for key, default in known.items() if key not in block}
    for key, default in missing.items():
        if default is MISSING:
            raise StoreValidation(f"{name}.{key} is missing and has no default; set it")
    made = cls(**block)
    for key, default in missing.items():
        _log.info("%s: %s.%s is not set, using the default %r", source, name, key, default)
    return made


def _load(source: Path) -> object:
    import yaml  # here, so that a writer that reads no configuration does not pay for the import

    class Loader(yaml.SafeLoader):
        """Safe loading that refuses a repeated key, which YAML forbids and PyYAML lets win."""

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise StoreValidation(f"key {shown(key.value)} is given twice (line {key.start_mark.line + 1})")
                seen.add(key.value)
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        with source.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise StoreValidation(f"cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise StoreValidation(f"is larger than {_MAX_BYTES} bytes; this is no engine configuration")
    try:
        loaded: object = yaml.load(content, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, StoreValidation):
            raise
        raise StoreValidation(f"is not YAML: {' '.join(str(error).split())}") from error
    return loaded
