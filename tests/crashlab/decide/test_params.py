import pytest

from crashlab.decide.params import check_params, typed_params
from crashlab.errors import UsageError

DECLARED = {"steps": 5, "interval": 0.5, "reader": "none", "strict": True}


@pytest.mark.parametrize(
    "given",
    [
        {"steps": [1, 2.5]},
        {"interval": [0, 1, 0.05]},
        {"reader": ["pinned", ""]},
        {"strict": [False]},
        {},
    ],
)
def test_values_of_the_declared_kind(given):
    check_params("app", DECLARED, given, "gate.grid")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stesp": [1]}, "gate.grid: subject 'app' declares no parameter 'stesp'; it has: interval, reader, steps, "),
        ({"stesp": [1]}, "did you mean 'steps'?"),
        ({"steps": [1, "2"]}, "gate.grid: steps = '2' is text, but subject 'app' declares steps = 5, a number"),
        ({"steps": [True]}, "steps = True is true or false, but subject 'app' declares steps = 5, a number"),
        ({"reader": [1]}, "reader = 1 is a number, but subject 'app' declares reader = 'none', text"),
        ({"strict": [1]}, "strict = 1 is a number, but subject 'app' declares strict = True, true or false"),
    ],
)
def test_other_values(given, said):
    with pytest.raises(UsageError) as error:
        check_params("app", DECLARED, given, "gate.grid")
    assert said in str(error.value)


def test_texts_become_what_is_declared():
    texts = {"steps": "7", "interval": "0.25", "reader": "1", "strict": "False"}
    assert typed_params("app", DECLARED, texts, "--param") == {
        "steps": 7,
        "interval": 0.25,
        "reader": "1",
        "strict": False,
    }


@pytest.mark.parametrize(("name", "text"), [("steps", "true"), ("steps", "many"), ("strict", "1"), ("stesp", "1")])
def test_texts_that_are_none(name, text):
    with pytest.raises(UsageError, match="--param: "):
        typed_params("app", DECLARED, {name: text}, "--param")


def test_a_subject_without_parameters():
    with pytest.raises(UsageError, match="declares no parameter 'x'; it has: none"):
        check_params("app", {}, {"x": [1]}, "gate.grid")
