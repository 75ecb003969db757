"""`crashlab corpus`: one case of each finding, the smallest, run again with the program as it is now."""

import msgspec
import pytest

from crashlab.engine.corpus.entry import load_entry


def saved(crashlab, project, *faults):
    """A run of a broken program that kept failing cases."""
    words = [word for fault in faults for word in ("--fault", fault)]
    assert crashlab("run", "--subject", "early", *words, "--trials", 2 * len(faults)).code == 1
    return project.runs()[-1]


@pytest.mark.slow
def test_it_keeps_the_smallest_and_says_which_still_fail(crashlab, project):
    run = saved(crashlab, project, "states@kill#40")
    kept = crashlab("corpus", "keep", run)
    assert kept.code == 0, kept
    entries = msgspec.json.decode(crashlab("corpus", "list", "--format", "json").out)
    assert [entry["identity"] for entry in entries] == ["durability/acked-row-lost · early · process death"]
    weights = [load_entry(case).weight for case in (run / "cases").iterdir()]
    corpus = project.results / "corpus"
    (case,) = corpus.iterdir()
    assert load_entry(case).weight == min(weights)
    assert "no larger of the same finding is kept" in crashlab("corpus", "keep", run).out
    answer = crashlab("corpus", "check")
    assert answer.code == 1, answer
    assert answer.out.startswith("fails, ")
    project.replace('early = { workload = "small_app:AcksTooEarly" }', 'early = { workload = "small_app:Good" }')
    answer = crashlab("corpus", "check", case.name)
    assert answer.code == 0, answer
    assert answer.out.startswith("passes, 0 of ")
    assert "removed: 1, kept: 0" in crashlab("corpus", "prune").out
    assert list(corpus.iterdir()) == []


@pytest.mark.slow
def test_real_kills_count_and_larger_cases_become_smaller(crashlab, project):
    run = saved(crashlab, project, "kill@ack#4", "states@kill#300")
    real = [case for case in (run / "cases").iterdir() if load_entry(case).weight.real]
    corpus = project.directory / "kept"
    if real:
        crashlab("corpus", "keep", real[0], "--corpus", corpus)
        answer = crashlab("corpus", "check", "--corpus", corpus, "--times", 5)
        assert answer.code == 1, answer
        assert " of 5 failed" in answer.out
        assert "a real kill leaves nothing to reduce" in crashlab("corpus", "minimise", "--corpus", corpus).out
    computed = max(
        (entry for case in (run / "cases").iterdir() if not (entry := load_entry(case)).weight.real),
        key=lambda entry: entry.weight,
    )
    crashlab("corpus", "keep", computed.directory, "--corpus", corpus)
    (case,) = corpus.iterdir()
    assert load_entry(case).weight == computed.weight
    crashlab("corpus", "minimise", "--corpus", corpus, "--budget", "20s")
    (case,) = corpus.iterdir()
    assert load_entry(case).weight < computed.weight
    assert crashlab("corpus", "check", "--corpus", corpus).code == 1


def test_wrong_words_and_strange_directories_are_refused(refused, project, tmp_path):
    assert "which? name case directories" in refused("corpus", "keep")
    assert "no failing case in it" in refused("corpus", "keep", project.directory)
    assert "No such file" in refused("corpus", "keep", project.directory / "none")
    assert "no case 'x' in the corpus" in refused("corpus", "check", "x")
    assert "has no such form" in refused("corpus", "list", "--format", "ndjson")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "killed.json").write_text("{}")
    assert "a case of a COMMAND holds no command" in refused("corpus", "keep", foreign)
    (foreign / "killed.json").unlink()
    (foreign / "case.json").write_text('{"subject": "early", "seed": 1, "fault": "kill@ack#4", "format_version": 1}')
    (foreign / "outcome.json").write_text("[]")
    assert "not an outcome" in refused("corpus", "keep", foreign)


def test_an_empty_corpus_is_no_failure(crashlab, project):
    assert "no cases" in crashlab("corpus", "list").out
    answer = crashlab("corpus", "check")
    assert (answer.code, answer.out) == (0, "")
    assert "nothing was checked" in answer.err
