import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

# The tests' own helper module lies beside them; importlib mode puts no directory on the path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def scratch():
    """A directory in memory where there is such a thing: recoveries that write also sync."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="crashlab-states-", dir=memory))
    yield directory
    shutil.rmtree(directory)
