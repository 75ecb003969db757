"""What a look at a live database means, what to do about it now, and what not to do."""

from collections.abc import Iterator

from crashlab.diagnosis.live.locks import locks_lost
from crashlab.diagnosis.live.report import Finding, Held, Look, Opener, Severity
from crashlab.sqlite.advisories import ADVISORIES

__all__ = ["findings_of", "lasting"]

SHM_MIN = 32768
_COPY = "copy its files out before it ends: crashlab autopsy --pid {pid} --into DIR, then crashlab salvage"
_NOT_STOP = "do not stop process {pid} before its files are copied: with its last descriptor they are gone for ever"
_NOT_CLOSE = "do not let it close or checkpoint: an orderly end writes its old pages over newer ones; SIGKILL does not"
_NOT_OPEN = "do not open the database with another program meanwhile: each opener may checkpoint, and delete a WAL"


def findings_of(look: Look) -> tuple[Finding, ...]:
    """Everything that is wrong, or worth knowing, at one moment."""
    found: list[Finding] = []
    for opener in look.openers:
        found += _gone(look, opener)
        found += _locks(look, opener)
        found += _libraries(opener)
    for make in (_two_of_a_kind, _index, _place, _versions):
        found += make(look)
    order = list(Severity)
    return tuple(sorted(found, key=lambda each: order.index(each.severity)))


def lasting(looks: list[tuple[Finding, ...]]) -> tuple[Finding, ...]:
    """The findings of the last look that every look had: what was seen once may be a moment of an open or a close."""
    return tuple(
        each for each in looks[-1] if all(each.key in {other.key for other in before} for before in looks[:-1])
    )


def _gone(look: Look, opener: Opener) -> Iterator[Finding]:
    """Files that have lost their names, or whose names lead to others."""
    stray = [held for held in opener.held if held.strayed]
    if not stray:
        return
    pid = opener.pid
    evidence = tuple(_state(pid, held) for held in stray)
    roles = {held.role for held in stray}
    commits = sum(look.ghosts.get(f"{pid}:{held.descriptor}", (0, 0))[0] for held in stray if held.role == "wal")
    if commits:
        evidence += (f"its ghost WAL holds {commits:,} commits; no other opener sees those since it lost its name",)
    do_now = (_COPY.format(pid=pid), "then end it with SIGKILL, not in good order")
    do_not = (_NOT_STOP.format(pid=pid), _NOT_CLOSE, _NOT_OPEN)
    if "main" in roles:
        replaced = any(held.role == "main" and held.at_path for held in stray)
        how = "was replaced" if replaced else "was deleted or renamed"
        yield Finding(
            "main-replaced", Severity.DANGER, pid,
            f"the main file {how} under {_who(opener)}: what it commits, nobody else will ever see",
            evidence, do_now, do_not, ("a2-replace",),
        )  # fmt: skip
    elif roles & {"wal", "shm"}:
        yield Finding(
            "ghost-wal", Severity.DANGER, pid,
            f"{_who(opener)} goes on in a {' and '.join(f'-{role}' for role in sorted(roles, reverse=True))} that"
            " lost the name: a ghost WAL",
            evidence, do_now, do_not, ("a1-kill", "a2-sidecars", "a3-malformed"),
        )  # fmt: skip


def _state(pid: int, held: Held) -> str:
    where = f"/proc/{pid}/fd/{held.descriptor}" if held.descriptor >= 0 else f"a mapping in /proc/{pid}/maps"
    name = "nothing" if not held.at_path else f"inode {held.at_path}"
    state = "deleted" if held.deleted else f"{held.links} links"
    return f"{where} -> {held.path}: inode {held.inode} ({state}, {held.size:,} bytes); that name leads to {name}"


def _locks(look: Look, opener: Opener) -> Iterator[Finding]:
    """Locks that a connection in WAL mode always has."""
    by_role = locks_lost(look, opener)
    if not by_role:
        return
    main = by_role.get("main", [])
    lost = [held for files in by_role.values() for held in files]
    evidence = tuple(
        f"{held.path} (inode {held.inode}) is open as descriptor {held.descriptor} of process {opener.pid}, and"
        f" /proc/locks has no row for it{' on byte 128' if held.role == 'shm' else ''}"
        for held in lost
    )
    names = {"main": "the main file", "shm": "the -shm"}
    files = " and ".join(names[role] for role in names if any(held.role == role for held in lost))
    parent = next((each for each in look.openers if each.pid == opener.parent), None)
    if parent is not None and _shares(parent, opener):
        yield Finding(
            "inherited", Severity.WARNING, opener.pid,
            f"{_who(opener)} has the descriptors of its parent {parent.pid}, and no locks on {files}: a connection that"
            " was carried across a fork",
            evidence,
            ("close nothing and use nothing of it in the child; end the child with _exit or exec",),
            ("do not use a connection that another process opened",),
            ("a6-own", "a6-carried"),
        )  # fmt: skip
        return
    what = f"{_who(opener)} has lost its locks on {files}: something in it opened and closed that file outside SQLite"
    exhibits = ("a1-kill", "a1-both") if main else ("a1-shm", "a1-writers")
    if any(held.strayed for held in opener.held):  # the harm is done, and what to do is said there
        yield Finding("locks-lost", Severity.DANGER, opener.pid, what, evidence, exhibits=exhibits)
        return
    do_now = (
        "let that process reopen the database as soon as nobody else has it open; until then keep others away",
        "find what opens the file in that process: crashlab hazards",
    )
    do_not = (
        "do not open the database with another program: the next one to close may delete the live WAL",
        "do not copy or hash the files inside a process that has them open",
    )
    yield Finding("locks-lost", Severity.DANGER, opener.pid, what, evidence, do_now, do_not, exhibits)


def _shares(one: Opener, other: Opener) -> bool:
    """Whether both have the same files under the same numbers, as a fork leaves them."""
    mine = {(held.descriptor, held.inode) for held in one.held}
    return all((held.descriptor, held.inode) in mine for held in other.held)


def _two_of_a_kind(look: Look) -> Iterator[Finding]:
    """Openers of one main file who do not share one -shm, or one -wal."""
    by_main: dict[int, list[Opener]] = {}
    for opener in look.openers:
        for inode in {held.inode for held in opener.of("main")}:
            by_main.setdefault(inode, []).append(opener)
    for main, openers in by_main.items():
        for role in ("shm", "wal"):
            users: dict[int, list[int]] = {}
            for opener in openers:
                for inode in {held.inode for held in opener.of(role)}:
                    users.setdefault(inode, []).append(opener.pid)
            if len(users) > 1:
                evidence = tuple(
                    f"inode {inode}: process {', '.join(map(str, pids))}" for inode, pids in sorted(users.items())
                )
                yield Finding(
                    f"two-{role}", Severity.DANGER, 0,
                    f"{len(users)} different -{role} files are in use for one main file (inode {main}): their users do"
                    " not see each other's locks and commits",
                    evidence,
                    ("copy all generations out first: crashlab autopsy --live PATH --into DIR",
                     "then SIGKILL the users of the one without a name, and merge: crashlab salvage --merge all"),
                    (_NOT_CLOSE, _NOT_OPEN),
                    ("a1-split", "a4-short-read") if role == "wal" else ("c1", "a3-malformed"),
                )  # fmt: skip


def _index(look: Look) -> Iterator[Finding]:
    mapped = any(held.mapped and not held.strayed for opener in look.openers for held in opener.of("shm"))
    if look.index is None or not mapped:
        return
    frames, backfilled, size = look.index
    if size < SHM_MIN:
        yield Finding(
            "shm-cut", Severity.DANGER, 0, f"the -shm was cut to {size} bytes under those who have it mapped",
            ("a connection that touches it dies of SIGBUS",),
            ("find who believed itself the first opener: its locks, or those of the others, are gone",),
            ("do not restart the victims one by one: each first opener cuts it again",), ("a1-shm", "f3"),
        )  # fmt: skip
    elif backfilled > frames:
        yield Finding(
            "index-impossible", Severity.DANGER, 0,
            f"the wal-index counts {backfilled:,} frames as checkpointed, and there are {frames:,}",
            ("that is the mark of the WAL-reset defect: transactions are being lost",),
            ("stop the writers, copy the files, and run them on SQLite 3.51.3, 3.50.7, 3.44.6 or later",),
            ("do not checkpoint",), ("b1-caught",),
        )  # fmt: skip


def _place(look: Look) -> Iterator[Finding]:
    if look.filesystem_warning:
        yield Finding(
            "file-system", Severity.WARNING, 0, look.filesystem_warning, (look.filesystem,),
            ("keep it on a local file system, or use one process on one machine and rollback mode",), (),
            ("c1", "c1-killed"),
        )  # fmt: skip
    links = look.paths.get("main", (0, 1, 0))[1]
    if links > 1:
        yield Finding(
            "two-names", Severity.WARNING, 0, f"the main file has {links} names: each has side files of its own",
            (f"inode {look.paths['main'][0]}",), ("remove the other names while nobody has it open",),
            ("do not open it under the other name",), ("a8-missing", "a8-malformed"),
        )  # fmt: skip


def _libraries(opener: Opener) -> Iterator[Finding]:
    if len(opener.libraries) > 1:
        yield Finding(
            "two-libraries", Severity.NOTE, opener.pid,
            f"{_who(opener)} has {len(opener.libraries)} SQLites loaded: if both open this database,"
            " closing one cancels the other's locks",
            tuple(f"{each.path}: {each.version or 'version unknown'}" for each in opener.libraries),
            exhibits=("a5",),
        )  # fmt: skip


def _versions(look: Look) -> Iterator[Finding]:
    versions: dict[str, list[int]] = {}
    for opener in look.openers:
        for library in opener.libraries:
            versions.setdefault(library.version or "unknown", []).append(opener.pid)
    for version, pids in sorted(versions.items()):
        numbers = tuple(int(part) for part in version.split(".")) if version != "unknown" else ()
        for advisory in ADVISORIES:
            if numbers and advisory.loses and advisory.covers(numbers):
                yield Finding(
                    "advisory", Severity.NOTE, 0, advisory.describe(version),
                    (f"process {', '.join(map(str, dict.fromkeys(pids)))}; it takes: {advisory.needs}",),
                    exhibits=("b1-lost",) if advisory.name == "wal-reset" else (),
                )  # fmt: skip


def _who(opener: Opener) -> str:
    return f"process {opener.pid} ({opener.name})"
