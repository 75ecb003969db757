"""Progress on a terminal: trials done, rate, findings; plain silence where there is none."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crashlab.model.event import Event, EventKind


class ProgressListener:
    """A listener that draws a progress line on a terminal; a context manager."""

    def __init__(self, console: Console, total: int, what: str = "real kills") -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(what, total=total, rate="")
        self._first_ns = 0
        self._done = self._failures = 0

    def __enter__(self) -> "ProgressListener":
        self._progress.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Move on with each finished trial."""
        if event.kind != EventKind.TRIAL_FINISHED:
            return
        self._done += 1
        self._first_ns = self._first_ns or event.ns
        self._failures += event.data["outcome"]["verdict"] == "FAIL"
        seconds = (event.ns - self._first_ns) / 1e9
        rate = f"{self._done / seconds:.0f}/s" if seconds > 0.5 else ""
        failures = f"  {self._failures} failures" if self._failures else ""
        self._progress.update(self._task, completed=self._done, rate=rate + failures)
