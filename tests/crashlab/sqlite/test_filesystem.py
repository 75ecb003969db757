import os
import sys

import pytest

from crashlab.sqlite.filesystem import FileSystem, _longest_prefix, filesystem_of, parse_mountinfo

MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /dev/shm rw,nosuid - tmpfs tmpfs rw
24 22 0:30 / /mnt/a\\040b rw - nfs4 server:/export rw,vers=4.2
25 22 0:31 / /home rw shared:3 master:2 - btrfs /dev/sdb rw
26 25 0:32 / /home rw - fuse.sshfs me@host: rw
27 22 0:33 / /homes rw - xfs /dev/sdc rw
28 22 0:34 / /c rw - drvfs C:\\134 rw
a line that makes no sense
29 22 0:35
"""


@pytest.mark.parametrize(
    ("path", "kind", "mount"),
    [
        ("/var/db/a.db", "ext4", "/"),
        ("/dev/shm/x", "tmpfs", "/dev/shm"),
        ("/dev/shmx", "ext4", "/"),
        ("/mnt/a b/c", "nfs4", "/mnt/a b"),
        ("/home/me/a.db", "fuse.sshfs", "/home"),
        ("/homes/me", "xfs", "/homes"),
        ("/home", "fuse.sshfs", "/home"),
    ],
)
@pytest.mark.skipif(os.sep != "/", reason="paths of a POSIX mount table")
def test_the_longest_and_latest_mount_wins(path, kind, mount):
    found = _longest_prefix(path, parse_mountinfo(MOUNTINFO))
    assert (found.kind, found.mount_point) == (kind, mount)


@pytest.mark.parametrize(
    ("kind", "network", "fuse", "memory", "said"),
    [
        ("ext4", False, False, False, ""),
        ("apfs", False, False, False, ""),
        ("NTFS", False, False, False, ""),
        ("nfs4", True, False, False, "network"),
        ("CIFS", True, False, False, "network"),
        ("9p", True, False, False, "network"),
        ("virtiofs", True, False, False, "network"),
        ("fuse.sshfs", True, True, False, "network"),
        ("fuse.mergerfs", False, True, False, "user space"),
        ("fuseblk", False, True, False, "user space"),
        ("tmpfs", False, False, True, "power loss"),
        ("unknown", False, False, False, ""),
    ],
)
def test_flags_and_warning_by_name(kind, network, fuse, memory, said):
    found = FileSystem(kind, "/", "x")
    assert (found.is_network, found.is_fuse, found.is_memory) == (network, fuse, memory)
    assert said in found.warning
    assert bool(found.warning) == bool(said)
    assert not said or kind in found.warning


def test_escapes_of_the_mount_table_are_undone():
    sources = {mount.mount_point: mount.source for mount in parse_mountinfo(MOUNTINFO)}
    assert sources["/c"] == "C:\\"


def test_a_windows_share_is_a_network_file_system():
    assert FileSystem("NTFS", "Z:\\", "\\\\server\\share").is_network


def test_this_machine(tmp_path):
    here = filesystem_of(tmp_path / "not" / "there" / "yet.db")
    assert here == filesystem_of(tmp_path)
    assert here.kind
    if sys.platform == "linux":
        assert here.kind != "unknown"


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no /dev/shm here")
def test_dev_shm_is_memory():
    assert filesystem_of("/dev/shm/a.db").is_memory
