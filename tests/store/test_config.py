"""The engine's configuration: every key parsed, nothing unknown accepted, defaults announced."""

import dataclasses
import logging
import os
from pathlib import Path

import pytest
import yaml

from store import EngineConfig, StoreValidation

CONFIG = Path(__file__).parents[2] / "config"
KEYS = ["tick_interval_seconds", "dry_run", "db_path", "wal_checkpoint_interval_seconds"]


@pytest.fixture
def load(tmp_path):
    def write_and_load(text: str | bytes) -> EngineConfig:
        file = tmp_path / "config.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return EngineConfig.from_yaml(file)

    return write_and_load


def test_the_defaults_are_the_designs_and_the_record_is_frozen():
    config = EngineConfig()
    assert dataclasses.asdict(config) == {
        "tick_interval_seconds": 4,
        "dry_run": False,
        "db_path": "neo_state.db",
        "wal_checkpoint_interval_seconds": 60,
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dry_run = True


@pytest.mark.parametrize("name", ["config.yaml", "config.example.yaml"])
def test_both_files_carry_every_key(name, logged):
    assert sorted(yaml.safe_load((CONFIG / name).read_text())["engine"]) == sorted(KEYS)
    assert EngineConfig.from_yaml(CONFIG / name) == EngineConfig()
    assert logged("") == []


def test_values_are_read_and_each_default_is_logged_once(load, logged):
    config = load("engine:\n  dry_run: true\n  wal_checkpoint_interval_seconds: 0.5\n")
    assert config == EngineConfig(dry_run=True, wal_checkpoint_interval_seconds=0.5)
    messages = [record.getMessage() for record in logged("", logging.INFO)]
    assert len(messages) == 2
    assert "engine.tick_interval_seconds is not set, using the default 4" in messages[0]
    assert "engine.db_path is not set, using the default 'neo_state.db'" in messages[1]
    assert load("engine: {}") == EngineConfig()
    assert load("engine: {wal_checkpoint_interval_seconds: -1}").wal_checkpoint_interval_seconds == -1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "engine: {tick_intervall_seconds: 4}",
            "unknown key engine.tick_intervall_seconds; did you mean 'tick_inter",
        ),
        ("engine: {zzz: 4}", "unknown key engine.zzz; known: db_path, dry_run"),
        ("engine: {1: 4}", "unknown key engine.1"),
        ("engines: {}", "unknown block 'engines'; did you mean 'engine'"),
        ("engine: {}\nstrategie: {}", "unknown block 'strategie'; did you mean 'strategy'"),
        ("engine:", "must be a mapping"),
        ("engine: [1]", "must be a mapping"),
        ("", "expected a mapping with an 'engine:' block"),
        ("{}", "there is no 'engine:' block"),
        ("engine: {tick_interval_seconds: '4'}", "tick_interval_seconds must be a number, not str"),
        ("engine: {tick_interval_seconds: true}", "must be a number, not bool"),
        ("engine: {tick_interval_seconds: .nan}", "must be finite"),
        ("engine: {tick_interval_seconds: 0}", "greater than 0"),
        ("engine: {tick_interval_seconds: null}", "must be a number"),
        ("engine: {dry_run: 'false'}", "dry_run must be true or false, not 'false'"),
        ("engine: {dry_run: 0}", "dry_run must be true or false"),
        ("engine: {db_path: 7}", "db_path must be a string"),
        ("engine: {db_path: ' '}", "db_path must not be empty"),
        ("engine: {wal_checkpoint_interval_seconds: .inf}", "must be finite"),
        ("engine: {dry_run: true, dry_run: false}", "'dry_run' is given twice"),
        ("engine: {\n", "is not YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("[" * 1200, "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        ("engine: {db_path: 2026-99-99}\n--- {}\n", "is not YAML"),
        ("#" * 1_000_001, "larger than"),
    ],
)
def test_bad_files_are_refused_in_one_line_with_their_name(load, text, match):
    with pytest.raises(StoreValidation, match=match) as caught:
        load(text)
    message = str(caught.value)
    assert "config.yaml: " in message
    assert "\n" not in message


def test_files_that_cannot_be_read_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(StoreValidation, match="cannot be read"):
            EngineConfig.from_yaml(path)
    with pytest.raises(StoreValidation, match="NUL"):
        EngineConfig.from_yaml("a\0b")


def test_importing_the_store_does_not_import_yaml():
    import subprocess
    import sys

    code = "import sys, store; sys.exit('yaml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=60, check=False, cwd=CONFIG.parent, env=dict(os.environ)
    )
    assert done.returncode == 0
