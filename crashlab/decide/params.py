"""Parameters: is each one that is given declared, and of the declared kind?"""

from collections.abc import Iterable, Mapping

from crashlab.errors import UsageError, did_you_mean
from crashlab.model.case import Param


def check_params(subject: str, declared: Mapping[str, Param], given: Mapping[str, Iterable[Param]], where: str) -> None:
    """Refuse parameters that a subject does not declare, and values of another kind than its default.

    `given` maps each name to the values that it would take; `where` begins the message. A number may be
    given where a number is declared, whole or not.

    Raises:
        UsageError: an unknown name, or a value of the wrong kind.
    """
    for name, values in given.items():
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise UsageError(
                f"{where}: subject {subject!r} declares no parameter {name!r}; it has: {known}"
                f"{did_you_mean(name, declared)}"
            )
        wanted = _kind(declared[name])
        for value in values:
            if _kind(value) != wanted:
                raise UsageError(
                    f"{where}: {name} = {value!r} is {_kind(value)}, but subject {subject!r} declares "
                    f"{name} = {declared[name]!r}, {wanted}"
                )


def typed_params(subject: str, declared: Mapping[str, Param], texts: Mapping[str, str], where: str) -> dict[str, Param]:
    """Turn texts into values of the kinds that a subject declares.

    Raises:
        UsageError: an unknown name, or a text that is no such value.
    """
    params = {name: _value(text, declared.get(name)) for name, text in texts.items()}
    check_params(subject, declared, {name: (value,) for name, value in params.items()}, where)
    return params


def _value(text: str, declared: Param | None) -> Param:
    if isinstance(declared, str):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _kind(value: Param) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "a number"
