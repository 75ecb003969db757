"""Files that are made once: whole or made anew, one of a family, bounded, never half a file."""

import multiprocessing
import os

import pytest

from crashlab.errors import LabError, LimitError
from crashlab.gallery.stage import cache
from crashlab.gallery.stage.cache import CACHE_VARIABLE, cache_directory, copy_cached

pytest.importorskip("fcntl")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    def __init__(self, data=b"made"):
        self.data = data
        self.built = 0

    def __call__(self, path):
        self.built += 1
        path.write_bytes(self.data)


def test_it_is_made_once_and_copied(tmp_path, directory):
    build = Builder()
    for name in ("one", "two"):
        copy_cached("f", 1, build, tmp_path / name, bytes_max=100)
        assert (tmp_path / name).read_bytes() == b"made"
    assert build.built == 1
    (tmp_path / "one").write_bytes(b"changed by a run")
    assert (directory / "f-1").read_bytes() == b"made"


def test_a_damaged_one_is_made_anew_and_never_used(tmp_path, directory):
    build = Builder()
    copy_cached("f", 1, build, tmp_path / "one", bytes_max=100)
    (directory / "f-1").write_bytes(b"mad3")
    copy_cached("f", 1, build, tmp_path / "two", bytes_max=100)
    assert build.built == 2
    assert (tmp_path / "two").read_bytes() == b"made"


def test_another_version_takes_the_place_of_the_old_one(tmp_path, directory):
    copy_cached("f", 1, Builder(b"old"), tmp_path / "one", bytes_max=100)
    copy_cached("f", 2, Builder(b"new"), tmp_path / "two", bytes_max=100)
    assert (tmp_path / "two").read_bytes() == b"new"
    assert sorted(path.name for path in directory.iterdir()) == ["f-2", "f-2.sha256", "f.lock"]


def test_what_fails_or_is_too_large_leaves_nothing(tmp_path, directory):
    def fails(path):
        path.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        copy_cached("f", 1, fails, tmp_path / "one", bytes_max=100)
    with pytest.raises(LimitError, match="at most 3"):
        copy_cached("f", 1, Builder(), tmp_path / "one", bytes_max=3)
    with pytest.raises(LimitError, match="are needed"):
        copy_cached("f", 1, Builder(), tmp_path / "one", bytes_max=1 << 60)
    assert [path.name for path in directory.iterdir()] == ["f.lock"]
    assert not (tmp_path / "one").exists()


def _slow_copy(target, counter):
    def build(path):
        descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b"x")
        os.close(descriptor)
        path.write_bytes(b"made" * 100_000)

    copy_cached("f", 1, build, target, bytes_max=1 << 20)


def test_processes_that_come_at_once_make_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_slow_copy, args=(tmp_path / f"{n}", tmp_path / "built")) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "built").read_bytes() == b"x"
    assert all((tmp_path / f"{n}").stat().st_size == 400_000 for n in range(3))


def test_a_lock_that_is_never_given_back_is_an_error(tmp_path, directory, monkeypatch):
    import fcntl

    monkeypatch.setattr(cache, "LOCK_S_MAX", 0.1)
    with open(cache_directory() / "f.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LabError, match="another process"):
            copy_cached("f", 1, Builder(), tmp_path / "one", bytes_max=100)


def test_where_it_is(tmp_path, monkeypatch):
    assert cache_directory() == tmp_path / "cache"
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "crashlab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "crashlab"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(LabError, match=CACHE_VARIABLE):
        cache_directory()
