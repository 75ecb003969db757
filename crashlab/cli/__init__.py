"""The command line; `crashlab.cli.main.COMMANDS` has its commands.

Exit codes: 0 GO or pass · 1 NO-GO or failures · 2 usage or configuration · 3 INCONCLUSIVE ·
130 interrupted.
"""

from crashlab.cli.main import main

__all__ = ["main"]
