"""Programs that keep a part of their state in files of their own: broken ones, each with a correct twin."""

import json
import mmap
import os
import subprocess
import sys
import zlib
from typing import ClassVar

from crashlab.gallery.controls.control import Handle, OneLane
from crashlab.model.contract import Contract, Promise
from crashlab.model.step import Effect, Step, Table
from crashlab.model.workload import Check

BLOB_BYTES = 1500


class Files(Handle):
    """An open program with its directory."""

    def __init__(self, connection, directory):
        super().__init__(connection)
        self.directory = directory


class WithFiles(OneLane):
    synchronous = "FULL"
    params: ClassVar = {"steps": 4}

    def open(self, ctx):
        os.makedirs(ctx.directory / "blobs", exist_ok=True)
        return Files(self.connect(ctx), ctx.directory)


def write(path, data, *, sync=True):
    with open(path, "wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def sync_directory(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def blob(number):
    return bytes((number * 31 + at) % 251 for at in range(BLOB_BYTES))


def missing_blobs(instance, connection, history):
    """A row names a file that is not there, or that holds something else."""
    for number, name, checksum in connection.execute("SELECT id, name, checksum FROM attachment ORDER BY id"):
        path = instance.directory / "blobs" / name
        if not path.exists():
            yield f"row {number} names {name}, which is not there"
        elif zlib.crc32(path.read_bytes()) != checksum:
            yield f"row {number} names {name}, which holds something else"


class Blobs(WithFiles):
    """A row a blob: written and synced, with its directory, before the row is. Correct."""

    schema = (
        "CREATE TABLE IF NOT EXISTS attachment(id INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum INTEGER NOT NULL)"
    )
    tables = (Table("attachment", ("id",), ("name", "checksum")),)
    checks = (Check("blob-there", missing_blobs),)

    def step(self, number, handle):
        name, checksum = f"{number}.bin", zlib.crc32(blob(number))

        def insert():
            handle.connection.execute("INSERT INTO attachment VALUES(?, ?, ?)", (number, name, checksum))

        return Step(
            number,
            (Effect("attachment", (number,), (name, checksum)),),
            lambda: self.both(insert, handle.directory / "blobs" / name, blob(number)),
        )

    def both(self, insert, path, data):
        write(path, data)
        sync_directory(path.parent)
        insert()


class BlobAfterRow(Blobs):
    def both(self, insert, path, data):
        insert()
        write(path, data)
        sync_directory(path.parent)


class BlobNotSynced(Blobs):
    def both(self, insert, path, data):
        write(path, data, sync=False)
        sync_directory(path.parent)
        insert()


class BlobsDirectoryNotSynced(Blobs):
    def both(self, insert, path, data):
        write(path, data)
        insert()


def index_text(number):
    """Two sectors: the number at both ends, and what is in between different each time."""
    return json.dumps({"rows": number, "pad": str(number % 10) * 600, "again": number}).encode()


def index_behind(instance, connection, history):
    """The index beside the database says less than the database has, or is no whole index."""
    (rows,) = connection.execute("SELECT count(*) FROM fill").fetchone()
    path = instance.directory / "index.json"
    try:
        index = json.loads(path.read_text()) if path.exists() else {"rows": 0, "again": 0}
    except ValueError:
        yield f"{rows} rows, and no readable index"
        return
    if index["rows"] != index["again"]:
        yield f"the index is half of {index['rows']} and half of {index['again']}"
    elif index["rows"] < rows:
        yield f"{rows} rows, {index['rows']} in the index"


class Index(WithFiles):
    """An index beside the database is replaced whole before each row, and its directory synced. Correct."""

    schema = "CREATE TABLE IF NOT EXISTS fill(id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)"
    tables = (Table("fill", ("id",), ("amount",)),)
    checks = (Check("index-not-behind", index_behind),)

    def step(self, number, handle):
        def do():
            self.replace(handle.directory, index_text(number))
            handle.connection.execute("INSERT INTO fill VALUES(?, ?)", (number, 100 * number))

        return Step(number, (Effect("fill", (number,), (100 * number,)),), do)

    def replace(self, directory, text):
        write(directory / "index.tmp", text)
        os.replace(directory / "index.tmp", directory / "index.json")
        sync_directory(directory)


class IndexDirectoryNotSynced(Index):
    def replace(self, directory, text):
        write(directory / "index.tmp", text)
        os.replace(directory / "index.tmp", directory / "index.json")


class IndexReplacedUnsynced(Index):
    def replace(self, directory, text):
        write(directory / "index.tmp", text, sync=False)
        os.replace(directory / "index.tmp", directory / "index.json")
        sync_directory(directory)


class IndexInPlace(Index):
    """Emptied, then written again."""

    def replace(self, directory, text):
        write(directory / "index.json", text)
        sync_directory(directory)


class IndexOverwritten(Index):
    """Written over without emptying it first: only a torn write shows it."""

    def replace(self, directory, text):
        path = directory / "index.json"
        if not path.exists():
            super().replace(directory, text)
        with open(path, "r+b", buffering=0) as file:
            file.write(text)
            os.fsync(file.fileno())


class NormalPromised(Index):
    """Answers for a power loss under synchronous=NORMAL, where a commit is not synced."""

    contract = Contract(power_loss={"NORMAL": Promise(), "FULL": Promise()})
    synchronous = "NORMAL"
    checks = ()

    def replace(self, directory, text):
        pass


class FullPromised(NormalPromised):
    synchronous = "FULL"


class OffPromised(NormalPromised):
    contract = Contract(power_loss={"OFF": Promise(), "FULL": Promise()})
    synchronous = "OFF"


class WritesElsewhere(Index):
    """Another process of the program writes the index: nothing here sees its bytes."""

    def replace(self, directory, text):
        program = f"open({str(directory / 'index.json')!r}, 'wb').write({text!r})"
        subprocess.run([sys.executable, "-S", "-c", program], check=True, timeout=20)


class MapsItsIndex(Index):
    """The index is written through a memory map."""

    def replace(self, directory, text):
        write(directory / "index.json", bytes(2000))
        with (
            open(directory / "index.json", "r+b") as file,
            mmap.mmap(file.fileno(), 2000) as mapped,
        ):
            mapped[: len(text)] = text
