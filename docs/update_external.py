"""Put what packages.toml says, and what tests/external/record.py recorded, into external.md.

python tests/external/record.py     # the runs; needs a package index
python docs/update_external.py      # the page
"""

import json
import re
import tomllib
from pathlib import Path

PAGE = Path(__file__).with_name("external.md")
UNSOUND = {
    "well-formed": "malformed",
    "a-committed-state": "a mixture of commits",
    "named-files": "a row without its file",
}
EXTERNAL = PAGE.parents[1] / "tests" / "external"


def page() -> str:
    """Return the page with its generated blocks made anew."""
    cases = {
        case["name"]: case for case in tomllib.loads((EXTERNAL / "packages.toml").read_text(encoding="utf-8"))["case"]
    }
    recorded = json.loads((EXTERNAL / "recorded.json").read_text(encoding="utf-8"))
    rows = [(cases[record["name"]], record) for record in recorded["records"]]
    text = PAGE.read_text(encoding="utf-8")
    text = put(text, "example", f"```python\n{(EXTERNAL / 'programs' / 'huey_tasks.py').read_text()}```")
    text = put(text, "table", table(rows))
    text = put(text, "contracts", "\n\n".join(contract(case) for case, _ in rows))
    text = put(text, "controls", controls(rows))
    return put(text, "environment", environment(recorded))


def table(rows: list) -> str:
    """One line a case: what was seen of its settings, and what each fault left."""
    lines = [
        "| package | settings in the trace | kill: states, findings | power loss: states, acks lost | not sound |",
        "|---|---|---|---|---|",
    ]
    for case, record in rows:
        seen = record["verdict"]
        kill, power = seen["states"]["process death"], seen["states"]["power loss"]
        lines.append(
            f"| [{case['name']}](#{anchor(case['name'])}) | {seen['journal']}, synchronous={seen['synchronous']} "
            f"| {kill:,}: {sum(found(seen, 'process death')) or 'none'} "
            f"| {power:,}: {lost(seen)} | {unsound(seen)} |"
        )
    return "\n".join(lines)


def controls(rows: list) -> str:
    """One line for each case whose own settings lose nothing, or little: the same with syncs off."""
    lines = ["| package | acks lost in a power loss | not sound |", "|---|---|---|"]
    for case, record in rows:
        if seen := record["control"]:
            own = lost(record["verdict"])
            lines.append(f"| {case['name']} | {lost(seen)} (its own settings: {own}) | {unsound(seen)} |")
    return "\n".join(lines)


def contract(case: dict) -> str:
    """What the case does, the documentation's words, and what to conclude."""
    return (
        f"### {case['name']}\n\nAcked: {case['what']}.\n\n> {case['contract']}\n>\n> {case['source']}\n\n"
        f"{case['conclude']}"
    )


def environment(recorded: dict) -> str:
    """What the numbers were measured on."""
    stamp = recorded["environment"]
    seconds = [record["install_s"] + record["verdict_s"] for record in recorded["records"]]
    return (
        f"{recorded['states']:,} crash states were asked for of each database under each model; {stamp['os']}, "
        f"{stamp['python']}, SQLite {stamp['sqlite']}. From an empty directory, installation included, a verdict took "
        f"{min(seconds):.0f} to {max(seconds):.0f} s on two cores that had other work to do."
    )


def lost(seen: dict) -> str:
    """The most acks that a legal power loss took."""
    return f"{seen['lost']} of {seen['acks']}" if seen["lost"] else "none"


def unsound(seen: dict) -> str:
    """In how many states a power loss left something that is no commit's database."""
    counts = [(seen["found"].get(f"power loss: {invariant}", 0), what) for invariant, what in UNSOUND.items()]
    told = [f"{states:,} {what}" for states, what in counts if states]
    return ", ".join(told) or "none"


def found(seen: dict, fault: str) -> list[int]:
    """States that show a finding of a fault class."""
    return [states for name, states in seen["found"].items() if name.startswith(fault)]


def anchor(name: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", name.lower())


def put(text: str, what: str, new: str) -> str:
    """Replace one generated block of the page."""
    start, end = f"<!-- generated: {what} -->\n", f"<!-- end of {what} -->"
    made, count = re.subn(
        re.escape(start) + ".*?" + re.escape(end), lambda _: f"{start}\n{new.strip()}\n\n{end}", text, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{PAGE.name} has {count} blocks {what!r}, expected 1")
    return made


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
