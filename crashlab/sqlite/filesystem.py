"""Which file system a path is on, and whether SQLite's promises can hold there.

WAL needs shared memory and byte-range locks that every opener sees (https://sqlite.org/wal.html,
"Overview", and https://sqlite.org/useovernet.html): network and many FUSE file systems don't give them.
tmpfs gives both and survives no power loss.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FileSystem", "filesystem_of", "parse_mountinfo"]

# fmt: off
_NETWORK = frozenset({
    "9p", "afp", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs", "gfs2",
    "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "smb",
    "smb2", "smb3", "smbfs", "sshfs", "vboxsf", "virtiofs", "vmhgfs", "webdav",
})
# fmt: on
_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A mounted file system. ``kind`` is the system's own name for the type (``ext4``, ``apfs``, ``NTFS``).

    ``kind`` is ``unknown`` where it can't be found out; then no flag is set.
    """

    kind: str
    mount_point: str
    source: str

    @property
    def is_network(self) -> bool:
        """Another machine (or the host of this virtual one) may open the same files; matched by name."""
        name = self.kind.lower().removeprefix("fuse.")
        return name in _NETWORK or self.source.startswith("\\\\")

    @property
    def is_fuse(self) -> bool:
        """Served from user space: locks, shared maps and syncs are what that program makes of them."""
        return self.kind.lower().startswith(("fuse", "osxfuse", "macfuse"))

    @property
    def is_memory(self) -> bool:
        """Kept in memory: nothing on it survives a power loss."""
        return self.kind.lower() in _MEMORY

    @property
    def warning(self) -> str:
        """One line on what can't be relied on here, naming the type; empty when there is nothing to say."""
        if self.is_network:
            return f"{self.kind} is a network file system: SQLite's WAL mode and locks can't be relied on there"
        if self.is_fuse:
            return f"{self.kind} is served from user space: its locks, shared memory and syncs may not hold"
        if self.is_memory:
            return f"{self.kind} is memory: nothing on it survives a power loss"
        return ""


def filesystem_of(path: str | os.PathLike[str]) -> FileSystem:
    """Return the file system that ``path`` is on, or would be created on. Never raises."""
    resolved = os.path.realpath(path)
    if sys.platform == "linux":
        try:
            mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            mounts = _partitions()
    else:
        mounts = _partitions()
    return _longest_prefix(resolved, mounts)


def parse_mountinfo(text: str) -> tuple[FileSystem, ...]:
    """Parse /proc/PID/mountinfo (proc_pid_mountinfo(5)); lines that don't fit are left out.

    Order is kept: of two mounts on one point the later hides the earlier.
    """
    mounts = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if dash and len(fields) >= 5 and len(rest) >= 2:
            mounts.append(FileSystem(rest[0], _unescape(fields[4]), _unescape(rest[1])))
    return tuple(mounts)


def _unescape(field: str) -> str:
    """Space, tab, newline and backslash stand as octal escapes."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _partitions() -> tuple[FileSystem, ...]:
    import psutil  # where there is no mountinfo only: other systems

    try:
        found = psutil.disk_partitions(all=True)
    except (OSError, psutil.Error):
        return ()
    return tuple(FileSystem(part.fstype or "unknown", part.mountpoint, part.device) for part in found)


def _longest_prefix(path: str, mounts: tuple[FileSystem, ...]) -> FileSystem:
    best = FileSystem("unknown", "", "")
    folded = os.path.normcase(path)
    for mount in mounts:
        point = os.path.normcase(mount.mount_point)
        below = folded == point or folded.startswith(point.rstrip(os.sep) + os.sep)
        if below and len(point) >= len(best.mount_point):
            best = mount
    return best
