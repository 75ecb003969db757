"""The documentation's site builds without a warning, with every page and every public name."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import crashlab

ROOT = Path(__file__).resolve().parents[1]
MISSING = [name for name in ("mkdocs", "material", "mkdocstrings") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"extra docs is not installed: no {', '.join(MISSING)}")


def test_the_site_builds(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=150,
    )
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").with_suffix("")
        built = site / "index.html" if path.name == "index" else site / path / "index.html"
        assert built.is_file(), path
    reference = (site / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    for name in {*crashlab.__all__} - {"__version__"}:
        assert f'.{name}"' in reference or f">{name}<" in reference, f"{name} has no text of its own"
    assert "fonts.googleapis.com" not in reference
