"""From signs to mechanisms: which explain most of what is abnormal with least against them."""

from typing import NamedTuple

from crashlab.diagnosis.autopsy.report import Named
from crashlab.diagnosis.autopsy.signs import HEALTHY, abnormal, in_words, is_proof
from crashlab.diagnosis.autopsy.suspects import Suspect, suspects

__all__ = ["NOTHING", "Ranking", "rank"]

NOTHING = Named("none", "nothing is wrong: closed in good order, in use, or merely crashed", (), ())
CHANGED = Named("changed", "nothing is wrong: the rows were deleted since the backup", (), ())
OTHERS_MAX = 8


class Ranking(NamedTuple):
    """`first`: those that fit best and leave files that cannot be told apart; see :class:`report.Report`."""

    first: tuple[Named, ...]
    others: tuple[Named, ...]
    ruled_out: dict[str, str]
    unexplained: tuple[str, ...]
    confidence: str


class _Fit(NamedTuple):
    suspect: Suspect
    signs: dict[str, str]
    explained: tuple[str, ...]
    against: tuple[str, ...]


def rank(features: dict[str, str]) -> Ranking:
    """Rank all mechanisms by the features of some files.

    A mechanism is ruled out by a sign it must leave and did not. Of the others those come first that explain most of
    the abnormal signs, then those with least against them; equals are one set, since nothing tells between them.
    Without any abnormal sign that set is everything that leaves healthy-looking files, with "nothing is wrong" first.
    Where only a backup shows something, an ordinary deletion since is always one of the first.
    """
    signs = abnormal(features)
    fits, ruled_out = [], {}
    for suspect in suspects():
        missing = next((name for name in suspect.must if not _fits(suspect.must[name], features.get(name))), None)
        if missing is not None:
            ruled_out[suspect.id] = _seen(missing, features)
            continue
        fits.append(_fit(suspect, signs, features))
    if not signs:
        silent = [fit for fit in fits if fit.suspect.silent and not fit.against]
        ruled_out |= {fit.suspect.id: fit.against[0] for fit in fits if fit.suspect.silent and fit.against}
        for fit in silent:
            ruled_out.pop(fit.suspect.id, None)
        return Ranking((NOTHING, *map(_named, silent)), (), ruled_out, (), "none")
    ordered = sorted((fit for fit in fits if fit.explained), key=lambda fit: (-len(fit.explained), len(fit.against)))
    if not ordered:
        return Ranking((), (), ruled_out, tuple(in_words(*item) for item in signs.items()), "none")
    best = ordered[0]
    first = [fit for fit in ordered if _grade(fit) == _grade(best)]
    plain = (CHANGED,) if set(signs) == {"backup.lost"} else ()
    explained = {name for fit in first for name in fit.explained}
    unexplained = tuple(in_words(*item) for item in signs.items() if item[0] not in explained)
    rivals = [fit for fit in ordered if len(fit.explained) == len(best.explained) and fit not in first]
    confidence = "possible"
    if not unexplained and not best.against:
        confidence = "shown" if is_proof(signs) else ("possible" if rivals or plain else "likely")
    others = tuple(_named(fit) for fit in ordered[len(first) :][:OTHERS_MAX])
    for fit in ordered:
        ruled_out.pop(fit.suspect.id, None)
    return Ranking((*plain, *map(_named, first)), others, ruled_out, unexplained, confidence)


def _fits(wanted: str, seen: str | None) -> bool:
    return seen is not None and seen in wanted.split("|")


def _grade(fit: _Fit) -> tuple[int, int]:
    return len(fit.explained), len(fit.against)


def _fit(suspect: Suspect, signs: dict[str, str], features: dict[str, str]) -> _Fit:
    leaves = {**suspect.usual, **suspect.must}
    explained = tuple(name for name in signs if name in leaves and _fits(leaves[name], signs[name]))
    against = tuple(
        _seen(name, features)
        for name, wanted in suspect.usual.items()
        if name in features and not _fits(wanted, features[name])
    )
    return _Fit(suspect, signs, explained, against)


def _seen(name: str, features: dict[str, str]) -> str:
    if name not in features:
        return f"{name}: not there"
    known = name in HEALTHY and not _fits(HEALTHY[name], features[name])
    return in_words(name, features[name]) if known else f"{name}: {features[name]}"


def _named(fit: _Fit) -> Named:
    return Named(
        fit.suspect.id,
        fit.suspect.title,
        tuple(in_words(name, fit.signs[name]) for name in fit.explained),
        fit.against,
        fit.suspect.links,
    )
