"""The packages of packages.toml, installed once a machine, or a skip that says why not."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# The tests' own helper module lies beside them; importlib mode puts no directory on the path.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("external_lab")

from external_lab import Case, NotInstallableError, install  # noqa: E402

REQUIRED = "CRASHLAB_EXTERNAL_REQUIRED"
"""Set where a skip would go unnoticed: a package that cannot be installed then fails its tests."""


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Path]:
    cache = getattr(request.config, "cache", None)
    directory = cache.mkdir("crashlab-external") if cache else tmp_path_factory.getbasetemp().parent / "external"

    def get(case: Case) -> Path:
        try:
            return install(case, directory)
        except NotInstallableError as error:
            reason = f"{case.name} cannot be installed here: {error}"
            if os.environ.get(REQUIRED):
                pytest.fail(reason)
            pytest.skip(reason)

    return get
