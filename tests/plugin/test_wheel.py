"""The wheel ships crashlab alone, and leaves the modules of a user's project to the user."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

TESTS = """
import sys
from pathlib import Path

import crashlab
import harness.tools
import store

def test_whose_modules(crashlab):
    here = Path(__file__).parent
    assert Path(store.__file__) == here / "store.py"
    assert Path(harness.tools.__file__) == here / "harness" / "tools.py"
    assert store.OWNER == harness.tools.OWNER == "the user"

def test_whose_crashlab():
    assert "site" in Path(crashlab.__file__).parts

def test_writers_import_the_users_modules_too(crashlab):
    crashlab.run("lab:Mine", trials=2, fault="kill@ack#5").assert_passed(judged_min=2)
"""
LAB = """
import harness.tools
import store
from small_workload import Good

if not store.OWNER == harness.tools.OWNER == "the user":
    raise ImportError("somebody else's store or harness")

class Mine(Good):
    pass
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        timeout=100,
    )
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_crashlab_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"crashlab"}
    assert "crashlab/py.typed" in names
    assert not [name for name in names if name.endswith((".pyc", ".db"))]
    (entry_points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    text = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert "[pytest11]\ncrashlab = crashlab.pytest_plugin" in text
    assert "crashlab = crashlab.cli:main" in text


def test_a_project_with_its_own_store_and_harness_keeps_its_imports(wheel, project, environment, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)  # what an installer does with a wheel of pure Python
    project.write("store.py", 'OWNER = "the user"\n')
    project.write("harness/__init__.py", "")
    project.write("harness/tools.py", 'OWNER = "the user"\n')
    project.write("lab.py", LAB)
    project.write("test_it.py", TESTS)
    (project.directory / "crashlab.toml").unlink()
    # -S leaves out .pth files, so an editable install of this checkout is not there; the rest is put back by name.
    done = subprocess.run(
        [sys.executable, "-S", *project.command("-v", "-pno:xdist")[1:]],
        cwd=project.directory,
        env=environment(PYTHONPATH=os.pathsep.join([str(site), sysconfig.get_path("purelib")])),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
