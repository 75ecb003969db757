import sys
from pathlib import Path

# The tests' own helper module lies beside them; importlib mode puts no directory on the path.
sys.path.insert(0, str(Path(__file__).parent))
