"""What to ask or collect next, and what not to do now."""

from crashlab.diagnosis.autopsy.report import Facts, Named, Verdict

__all__ = ["ask_next", "do_not", "why"]

_BY_LETTER = {
    "A": "is a program still running that had it open? 'crashlab autopsy --live FILE --into DIR' (Linux): a deleted"
    " main file or -wal still holds commits; copy it out before that program ends. What --live says, saved by"
    " --format json, tells mechanisms apart here: --seen",
    "B": "the version of SQLite in every program that writes it ('select sqlite_version()'): 3.7.0 to 3.51.2 have the"
    " WAL-reset defect, but for 3.44.6 and 3.50.7",
    "C": "the file system it lies on ('findmnt -T FILE'), on every machine and in every container that opens it, and"
    " whether a sync program watches the directory",
    "D": "who copied, restored, moved or deleted any of the files since, and with which command (cp, rsync, tar)",
    "E": "the kernel's log: power losses, resets, disk errors ('journalctl -k'); PRAGMA synchronous of each writer",
    "F": "the connections that were open, and how long each kept a read transaction",
    "G": "PRAGMA journal_mode in every program that opens it",
    "H": "the program's own log: errors it caught, and when it says 'done' in relation to COMMIT",
}


def ask_next(
    first: tuple[Named, ...], features: dict[str, str], *, ledger: bool, backup: bool, verdict: Verdict
) -> tuple[str, ...]:
    """What would tell between the mechanisms of the first set, or whether anything is lost at all."""
    asks = []
    if not ledger:
        asks.append(
            "are rows missing? --ledger with the rows that were acknowledged, in order: a lost suffix, a gap and"
            " nothing lost are different mechanisms"
        )
    if not backup and verdict is not Verdict.HEALTHY:
        asks.append("the last good backup (--backup): what it has and this file has not")
    if features["wal"] == "missing" and features["main.mode"] == "wal":
        asks.append(
            "was there a -wal beside it when it was found? A copy without it, or one opened since, looks like this"
        )
    if verdict in (Verdict.DAMAGED, Verdict.LOSSY):
        asks.append(
            "what can be saved? 'crashlab salvage FILE --list', then '--into NEW'; with --wal for a WAL that was"
            " rescued elsewhere"
        )
    letters = dict.fromkeys(named.id[0].upper() for named in first if named.id != "none")
    asks += [_BY_LETTER[letter] for letter in letters if letter in _BY_LETTER]
    return tuple(asks)


def do_not(facts: Facts, verdict: Verdict) -> tuple[str, ...]:
    """What would destroy evidence, or make it worse."""
    if verdict is Verdict.HEALTHY and not (facts.wal and facts.wal.commits):
        return ()
    rules = []
    if facts.wal and facts.wal.bytes:
        rules.append(
            "do not delete the -wal, and keep it with its main file: it holds commits that the main file may not have"
        )
        rules.append(
            "do not open the originals with SQLite, not even to look: that replays the log, checkpoints and deletes it"
        )
    if facts.journal and facts.journal.state == "hot":
        rules.append("do not delete the -journal: it undoes half a transaction that stands in the main file")
    if verdict is not Verdict.HEALTHY:
        rules.append("do not stop a program that still has the database open before its files are copied out")
        rules.append("do not VACUUM, REINDEX or .recover in place: work on copies of copies")
    return tuple(rules)


def why(verdict: Verdict, signs: list[str], facts: Facts, *, unchanged: bool) -> tuple[str, ...]:
    """The reasons for the verdict, one line each."""
    if not unchanged:
        return ("the files changed while they were examined: somebody writes them. Stop it, or examine a copy", *signs)
    if signs:
        return tuple(signs)
    if facts.features.get("main") == "not begun":
        return ("its first transaction was under way: the journal takes all of it back, and no row was ever committed",)
    if facts.header.kind == "zero length":
        return ("an empty file: a database without any table, or what is left of one",)
    lines = ["every tree is sound, and nothing in the files shows a loss"]
    if facts.wal and (facts.wal.commits or facts.wal.chain):
        lines.append("the WAL is to be replayed by the next opener: a crash, or a program that has it open")
    return (*lines, "what files cannot show is not ruled out: commits that went elsewhere leave no trace here")
