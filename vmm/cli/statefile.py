"""Saved machines in files: a zip archive of the members that vmm.statefile names.

Room:    below the commands.
Holds:   a file is written whole or not at all.
         What is read is a whole machine, or there is an error; no byte of a file makes another one of it.
"""

import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from vmm.snapshot import MachineState, SnapshotError
from vmm.statefile import from_members, to_members

BEGINS: Final = b"PK\x03\x04"
"""The first bytes of every file."""
_LEVEL: Final = 1
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def to_bytes(state: MachineState) -> bytes:
    """Return a file's contents; the same ones for the same state."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in to_members(state).items():
            info = zipfile.ZipInfo(name, _EPOCH)
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, _LEVEL)
    return target.getvalue()


def from_bytes(data: bytes) -> MachineState:
    """Return the machine of a file's contents.  Errors: SnapshotError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            members = {name: archive.read(name) for name in names}
    except Exception as error:  # whatever zipfile and zlib make of it: they have no error of their own for some damages
        raise SnapshotError("the file", f"it is no archive, or damaged: {type(error).__name__}: {error}") from None
    if len(members) != len(names):
        raise SnapshotError("the file", "a member is there twice")
    return from_members(members)


def write(state: MachineState, path: Path) -> None:
    """Write a file, in place of one that is there; a device or a pipe is written to, of course.  Errors: OSError."""
    path = Path(os.path.realpath(path))  # a link goes on pointing where it does
    if path.exists() and not path.is_file():
        path.write_bytes(to_bytes(state))
        return
    with tempfile.NamedTemporaryFile(prefix=f"{path.name}-", dir=path.parent, delete=False) as file:
        try:
            file.write(to_bytes(state))
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
