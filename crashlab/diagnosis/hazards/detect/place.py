"""Where a database lies: network and user-space file systems, synchronised folders: MECHANISMS C1, C2."""

import os
import re
from typing import Any

from crashlab.diagnosis.hazards.connections import Connection
from crashlab.diagnosis.hazards.scene import Detector
from crashlab.sqlite.filesystem import FileSystem, filesystem_of

DIRECTORIES_MAX = 4096
_NAMES = re.compile(
    r"^(?:Dropbox(?: \(.+\))?|OneDrive(?: - .+)?|Google ?Drive|My Drive|iCloud ?Drive|Nextcloud|ownCloud|"
    r"Mobile Documents|CloudStorage|pCloudDrive|Box Sync)$",
    re.IGNORECASE,
)
_MARKERS = (
    (".stfolder", "Syncthing"),
    (".dropbox", "Dropbox"),
    (".dropbox.cache", "Dropbox"),
    (".nextcloudsync.log", "Nextcloud"),
    (".owncloudsync.log", "ownCloud"),
    (".sync", "Resilio Sync"),
)


class PlaceDetector(Detector):
    """`network-file-system` and `sync-folder`, told once for each database and place in the program."""

    def __init__(self, scene: Any) -> None:
        super().__init__(scene)
        self._systems: dict[int, FileSystem] = {}
        self._folders: dict[str, str] = {}
        self._fine: set[tuple[int, str]] = set()

    def opened(self, connection: Connection) -> None:
        """Look at the directory; the answers are kept by device and by directory."""
        database = connection.database
        device = database.identity[0]
        directory = os.path.dirname(database.path)
        if (device, directory) in self._fine:
            return
        system = self._systems.get(device)
        if system is None:
            system = self._systems[device] = filesystem_of(database.path)
        if system.is_network or system.is_fuse:
            seen = f"the database is on {system.kind}, mounted at {system.mount_point}"
            self.scene.report("network-file-system", database.path, seen, stack=connection.stack)
        folder = self._folder(directory)
        if not (folder or system.is_network or system.is_fuse):
            if len(self._fine) >= DIRECTORIES_MAX:
                self._fine.clear()
            self._fine.add((device, directory))
        if folder:
            self.scene.report("sync-folder", database.path, folder, stack=connection.stack)

    def _folder(self, directory: str) -> str:
        """Say which folder it is in, with the answers kept: tests make a directory each, in the same place."""
        known = self._folders.get(directory)
        if known is None:
            parent = os.path.dirname(directory)
            known = is_sync_folder(directory) or ("" if parent == directory else self._folder(parent))
            if len(self._folders) >= DIRECTORIES_MAX:
                self._folders.clear()
            self._folders[directory] = known
        return known


def is_sync_folder(directory: str) -> str:
    """Say how it is known that this very directory is synchronised; empty when it is not."""
    if _NAMES.match(os.path.basename(directory)):
        return f"the database is inside {directory!r}, which by its name is synchronised"
    for marker, program in _MARKERS:
        if os.path.lexists(os.path.join(directory, marker)):
            return f"the database is inside {directory!r}, which {program} synchronises (there is a {marker})"
    return ""
