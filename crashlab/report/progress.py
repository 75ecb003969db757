"""Progress: trials done, rate, findings, phases, time left: drawn on a terminal, elsewhere a line now and then."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from crashlab.model.event import Event, EventKind
from crashlab.report.numbers import duration

PLAIN_EVERY_S = 30.0
"""Where there is no terminal, a run shorter than this stays silent."""


class ProgressListener:
    """A listener that tells how far a campaign is; a context manager.

    Time left is what the trials so far took on average; a budget may end it sooner. Phases are those that ended
    at least one judged trial.
    """

    def __init__(self, console: Console, total: int, what: str = "real kills") -> None:
        self._console = console
        self._total, self._what = total, what
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(what, total=total, said="")
        self._first_ns = self._told_ns = 0
        self._done = self._failures = 0
        self._phases: set[str] = set()
        self._findings: set[str] = set()

    def __enter__(self) -> "ProgressListener":
        self._progress.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Move on with each finished trial."""
        if event.kind != EventKind.TRIAL_FINISHED:
            return
        outcome = event.data["outcome"]
        self._done += 1
        self._first_ns = self._first_ns or event.ns
        self._told_ns = self._told_ns or event.ns
        self._failures += outcome["verdict"] == "FAIL"
        if outcome["verdict"] in ("PASS", "FAIL"):
            self._phases.update(filter(None, outcome.get("phase", "").split(",")))
        for finding in outcome.get("findings", ()) if len(self._findings) < 1000 else ():
            self._findings.add(str(finding["identity"]))
        if self._console.is_terminal:
            self._progress.update(self._task, completed=self._done, said=self._said(event.ns))
        elif (event.ns - self._told_ns) / 1e9 >= PLAIN_EVERY_S:
            self._told_ns = event.ns
            line = f"{self._done:,} of {self._total:,} {self._what}: {self._said(event.ns)}"
            self._console.print(Text(line), soft_wrap=True)

    def _said(self, ns: int) -> str:
        seconds = (ns - self._first_ns) / 1e9
        said = []
        if seconds > 0.5:
            said.append(f"{self._done / seconds:.0f}/s")
        if self._phases:
            said.append(f"{len(self._phases)} phase{'s' if len(self._phases) != 1 else ''}")
        if self._failures:
            several = f" of {len(self._findings)} findings" if len(self._findings) > 1 else ""
            said.append(f"{self._failures} failure{'s' if self._failures != 1 else ''}{several}")
        if seconds > 2 and 1 < self._done < self._total:
            said.append(f"{duration(round(seconds / (self._done - 1) * (self._total - self._done)))} left")
        return "  ".join(said)
