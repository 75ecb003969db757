"""What every pytest session pays for having crashlab installed: next to nothing."""

import ast
import subprocess
import sys

import pytest

import crashlab
from crashlab import api

HEAVY = {"store", "harness", "msgspec", "click", "rich", "psutil", "numpy", "hypothesis", "sqlite3", "yaml"}


@pytest.fixture
def modules_after(tmp_path, environment):
    """Run code in a new interpreter and return the modules that it has loaded."""

    def run(code: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", f"{code}\nimport sys; print(); print(sorted(sys.modules))"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return set(ast.literal_eval(done.stdout.splitlines()[-1]))

    return run


def test_loading_the_entry_point_loads_nothing_heavy(modules_after):
    loaded = modules_after(
        "from importlib.metadata import entry_points\n"
        "(found,) = {e.value: e for e in entry_points(group='pytest11', name='crashlab')}.values()\n"
        "found.load()"
    )
    assert not HEAVY & loaded
    ours = {name for name in loaded if name.partition(".")[0] == "crashlab"}
    assert ours == {
        "crashlab",
        *(f"crashlab.pytest_plugin{name}" for name in ("", ".explore_items", ".settings")),
    }


def test_a_session_that_does_not_use_it_stays_as_light(tmp_path, modules_after):
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    quiet = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest", "pytest_cov", "xdist", "timeout")]
    loaded = modules_after(f"import pytest; assert pytest.main({[*quiet, '-q']}) == 0")
    assert "crashlab.pytest_plugin" in loaded
    assert not HEAVY & loaded
    assert "crashlab.api" not in loaded


def test_import_crashlab_loads_its_api_only_when_a_name_is_used(modules_after):
    assert "crashlab.api" not in modules_after("import crashlab; crashlab.__version__")
    loaded = modules_after("from crashlab import Effect, Step, Workload")
    assert "crashlab.api" in loaded
    assert not {"numpy", "psutil", "rich", "click"} & loaded


def test_every_public_name_is_there_and_unknown_ones_are_not():
    assert sorted(crashlab.__all__) == sorted([*api.__all__, "__version__"])
    for name in api.__all__:
        assert getattr(crashlab, name) is getattr(api, name)
    assert set(crashlab.__all__) <= set(dir(crashlab))
    assert not hasattr(crashlab, "Kase")
