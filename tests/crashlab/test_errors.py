import pytest

from crashlab import errors
from crashlab.errors import CrashlabError, did_you_mean


def test_every_error_is_of_the_one_tree_and_has_a_documented_exit_code():
    codes = {
        "CrashlabError": 3,
        "UsageError": 2,
        "ConfigError": 2,
        "SubjectError": 2,
        "RecordError": 2,
        "TapUnavailableError": 3,
        "LimitError": 3,
        "LabError": 3,
    }
    found = {
        name: value.exit_code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, CrashlabError)
    }
    assert found == codes


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("kil", "; did you mean 'kill'?"),
        ("KILL", "; did you mean 'kill'?"),
        ("hangpu", "; did you mean 'hangup'?"),
        ("zebra", ""),
        ("", ""),
    ],
)
def test_did_you_mean(value, said):
    assert did_you_mean(value, ["kill", "hangup", "damage"]) == said


def test_did_you_mean_without_choices():
    assert did_you_mean("kill", []) == ""
