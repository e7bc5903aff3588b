"""What the interrupt controller's driver needs of a CPU.

Room:    the floor of the checks, below driver and kernel.
"""


class GuestError(Exception):
    """The guest cannot go on: an exception it does not expect, or something that never ends."""


class Port:
    """A CPU as its driver sees it: loads, stores and system registers, of 4 bytes unless said otherwise.

    index     number of the CPU, from 0
    affinity  packed Aff3.Aff2.Aff1.Aff0
    """

    __slots__ = ()

    index: int
    affinity: int

    def load(self, gpa: int, size: int = 4) -> int:
        """Load `size` bytes.  Errors: GuestError."""
        raise NotImplementedError

    def store(self, gpa: int, value: int, size: int = 4) -> None:
        """Store `size` bytes.  Errors: GuestError."""
        raise NotImplementedError

    def mrs(self, register: int) -> int:
        """Read a system register by its packed encoding.  Errors: GuestError."""
        raise NotImplementedError

    def msr(self, register: int, value: int) -> None:
        """Write a system register by its packed encoding.  Errors: GuestError."""
        raise NotImplementedError
