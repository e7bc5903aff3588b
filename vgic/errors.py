"""What an embedder can get wrong, with the errno KVM would return.

Room:    the floor, beside ids.
Holds:   whoever raises one of these has changed nothing, except where KVM itself leaves a mark (each such
         place says so).  A guest's mistake never raises: it is RAZ/WI, ignored, or UNDEFINED.
"""

import errno
import os
from typing import Final

EACCES: Final = errno.EACCES
ENOENT: Final = errno.ENOENT
EIO: Final = errno.EIO
ENXIO: Final = errno.ENXIO
EFAULT: Final = errno.EFAULT
EBUSY: Final = errno.EBUSY
EEXIST: Final = errno.EEXIST
ENODEV: Final = errno.ENODEV
EINVAL: Final = errno.EINVAL
ENOSPC: Final = errno.ENOSPC
E2BIG: Final = errno.E2BIG
EAGAIN: Final = errno.EAGAIN
ENOMEM: Final = errno.ENOMEM


class VgicError(Exception):
    """An embedder's request that KVM would refuse; `errno` is what the ioctl would return (positive)."""

    def __init__(self, number: int, why: str) -> None:
        """Build the message from KVM's errno and a sentence that shows the values that clashed."""
        super().__init__(f"{errno.errorcode.get(number, str(number))} ({os.strerror(number)}): {why}")
        self.errno = number
        self.why = why


class ConfigError(VgicError):
    """A configuration that cannot be: bad value, overlap, wrong order, unknown attribute."""


class BusyError(VgicError):
    """A request that needs a vCPU that is in use: KVM's -EBUSY."""

    def __init__(self, why: str) -> None:
        """Carry EBUSY."""
        super().__init__(EBUSY, why)


class GuestMemoryError(VgicError):
    """Guest memory that a save or restore needs is not RAM, or not writable: KVM's -EFAULT."""

    def __init__(self, gpa: int, what: str) -> None:
        """Name the guest physical address and what lies, or should lie, there."""
        super().__init__(EFAULT, f"{what}: guest physical address {gpa:#x} is not accessible RAM")


class DeadVmError(VgicError):
    """The VM died when its first entry failed (kvm_vm_dead()), or was destroyed: every later call gives -EIO."""

    def __init__(self) -> None:
        """Carry EIO."""
        super().__init__(EIO, "the VM is dead: its first vCPU entry failed, or it was destroyed")


class StateError(VgicError):
    """A snapshot that cannot be restored; `where` is the place in it, as `vcpus[1].interrupts[27].priority`."""

    def __init__(self, where: str, why: str) -> None:
        """Carry EINVAL, the place and the reason."""
        super().__init__(EINVAL, f"cannot restore {where}: {why}")
        self.where = where
        self.reason = why
