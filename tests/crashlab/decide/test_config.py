"""`crashlab.toml` as it is meant; what is refused is tested at the command line."""

import pytest

from crashlab.decide.config import Config, find_config, load_config
from crashlab.decide.duration import parse_duration
from crashlab.errors import ConfigError, UsageError

WHOLE = """
path = ["src", "."]
results = "out"
[subjects.app]
workload = "app.lab:workload"
params = { steps = 3, reader = "none", strict = true, rate = 0.5 }
[gate]
subject = "app"
trials = 10
budget = "2m"
rows_by = ["reader"]
[gate.grid]
reader = ["none", "pinned"]
[gate.weights]
reader = [1, 2.5]
[gate.unreachable]
checkpoint = { reader = "pinned" }
[gate.policy]
advisories = "no-go"
[bench]
mine = "app.bench:bench"
"""


def test_a_whole_file(tmp_path):
    (tmp_path / "crashlab.toml").write_text(WHOLE)
    config = load_config(tmp_path / "crashlab.toml")
    subject = config.subject("app")
    assert (subject.name, subject.workload) == ("app", "app.lab:workload")
    assert subject.params == {"steps": 3, "reader": "none", "strict": True, "rate": 0.5}
    # Directories are relative to the file, wherever the command is given.
    assert subject.path == (str(tmp_path / "src"), str(tmp_path))
    assert config.results_directory == tmp_path / "out"
    assert config.gate.policy.advisories == "no-go"
    assert config.gate.weights == {"reader": [1, 2.5]}


def test_an_empty_file_and_none_at_all(tmp_path):
    (tmp_path / "crashlab.toml").write_text("")
    assert load_config(tmp_path / "crashlab.toml").subjects == {}
    assert load_config(None) == Config()
    with pytest.raises(ConfigError, match="has: none; 'crashlab init' writes a "):
        load_config(None).subject("app")


def test_the_nearest_file_counts(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_config(deep) != tmp_path / "crashlab.toml"
    (tmp_path / "crashlab.toml").write_text("")
    assert find_config(deep) == tmp_path / "crashlab.toml"
    (tmp_path / "a" / "crashlab.toml").write_text("")
    assert find_config(deep) == tmp_path / "a" / "crashlab.toml"
    (deep / "crashlab.toml").mkdir()  # a directory of that name is none
    assert find_config(deep) == tmp_path / "a" / "crashlab.toml"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("250ms", 0.25), ("1.5m", 90), ("7", 7), (7, 7), (0.5, 0.5), (" 3s ", 3)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-1s", "1e3", "1d", "nan", "inf", "99999999", "1 s", "٣s", "s"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="expected a duration above zero such as 90s, 10m or 2h"):
        parse_duration(text)
