"""Play every exhibit, let the autopsy judge the files, and put the matrix into autopsy-matrix.md.

python docs/update_autopsy_matrix.py KEEP --seed 31000 --runs 20 [--jobs 2]

KEEP is a directory for the files of all runs; runs that are there already are judged again and not played.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from crashlab.diagnosis.autopsy.confusion import WAYS, Judged, judge, table, truth_of
from crashlab.engine.environment import environment_stamp
from crashlab.gallery.mechanisms import load_exhibits

PAGE = Path(__file__).with_name("autopsy-matrix.md")
PLAYER = Path(__file__).with_name("play_with_looks.py")
WORDS = {
    "files": "files only",
    "ledger": "with the ledger",
    "backup": "with an early copy",
    "live": "with looks at the living",
    "all": "with all three",
}


def play(wanted: list[tuple[str, int, Path]], jobs: int) -> list[str]:
    """Play what is not kept yet, each in a process of its own; returns why exhibits could not be played."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads is not to be forked

    def one(each: tuple[str, int, Path]) -> str:
        name, seed, place = each
        if place.exists():
            return ""
        line = [sys.executable, str(PLAYER), name, str(seed), str(place)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False)
        return (done.stderr.strip().splitlines() or ["no reason"])[-1] if done.returncode else ""

    with ThreadPoolExecutor(jobs) as pool:
        return [problem for problem in pool.map(one, wanted) if problem]


def _judge(each: tuple[str, Path]) -> tuple[str, dict[str, Judged]]:
    name, place = each
    return name, judge(place, truth_of(name))


def summary(runs: list[tuple[str, dict[str, Judged]]]) -> str:
    """The bars, for each way of asking."""
    lines = [
        "| asked | runs | first set has the true one | among the first three | wrong and sure | sets: mean, largest |",
        "|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        judged = [ways[way] for _, ways in runs]
        right, three = sum(each.right for each in judged), sum(each.truth in each.three for each in judged)
        sure = sum(each.wrong_and_sure for each in judged)
        sizes = [len(each.first) for each in judged]
        span = f"{sum(sizes) / len(sizes):.1f}, {max(sizes)}"
        lines.append(f"| {WORDS[way]} | {len(judged)} | {right} | {three} | {sure} | {span} |")
    acquitted = [ways["files"] for _, ways in runs if ways["files"].truth == "none"]
    healthy = sum(each.verdict == "healthy" for each in acquitted)
    return "\n".join([*lines, "", f"Acquitted called healthy: {healthy} of {len(acquitted)}."])


def main() -> None:
    """Update the page in place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keep", type=Path)
    parser.add_argument("--seed", type=int, default=31_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    names = [name for name, exhibit in load_exhibits().items() if exhibit.in_default_run]
    wanted = [
        (name, seed, options.keep / name / str(seed))
        for name in names
        for seed in range(options.seed, options.seed + options.runs)
    ]
    for problem in sorted(set(play(wanted, options.jobs))):
        sys.stderr.write(f"{problem}\n")
    kept = [(name, place) for name, _, place in wanted if place.exists()]
    with ProcessPoolExecutor(options.jobs) as pool:
        runs = list(pool.map(_judge, kept))
    stamp = environment_stamp(options.keep)
    intro = (
        f"Recorded: seeds {options.seed} to {options.seed + options.runs - 1}, {len(runs)} runs, SQLite"
        f" {stamp.get('sqlite', '?')}, {stamp.get('platform', '?')}."
    )
    block = f"{intro}\n\n{summary(runs)}\n\n{table(runs)}"
    start, end = "<!-- generated: matrix -->\n", "<!-- end of matrix -->"
    page = PAGE.read_text(encoding="utf-8")
    new, count = re.subn(
        re.escape(start) + ".*?" + re.escape(end), lambda _: f"{start}\n{block}\n\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{PAGE.name} has {count} blocks, expected 1")
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
