"""Guest memory of an ITS walk: pages that can be read-only, and what was written since one last looked.

Room:    below the naive model and the pair; each has one, and they are compared.
"""

from typing import Final, final

PAGE: Final = 4096
_SHIFT: Final = 12


@final
class WalkRam:
    """RAM by pages, zero filled; what is in no page is no RAM.  Fulfils vgic.ports.GuestMemory."""

    __slots__ = ("dirty", "pages", "protected")

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self.protected: set[int] = set()  # page numbers that the guest and KVM cannot write
        self.dirty: set[int] = set()  # page numbers written since `same_as`

    def add(self, base: int, size: int) -> None:
        for page in range(base >> _SHIFT, base + size >> _SHIFT):
            self.pages[page] = bytearray(PAGE)

    def protect(self, base: int, size: int) -> None:
        self.protected.update(range(base >> _SHIFT, base + size >> _SHIFT))

    def read(self, gpa: int, size: int) -> bytes | None:
        at = gpa & PAGE - 1
        data = self.pages.get(gpa >> _SHIFT)
        if data is None:
            return None
        if at + size <= PAGE:
            return bytes(data[at : at + size])
        rest = self.read((gpa | PAGE - 1) + 1, at + size - PAGE)
        return None if rest is None else bytes(data[at:]) + rest

    def write(self, gpa: int, data: bytes) -> bool:
        end = gpa + len(data)
        pages = range(gpa >> _SHIFT, (end - 1 >> _SHIFT) + 1)
        if any(page not in self.pages or page in self.protected for page in pages):
            return False
        for page in pages:
            first = max(gpa, page << _SHIFT)
            last = min(end, page + 1 << _SHIFT)
            self.pages[page][first & PAGE - 1 : (first & PAGE - 1) + last - first] = data[first - gpa : last - gpa]
            self.dirty.add(page)
        return True

    def visible(self, gpa: int) -> bool:
        return gpa >> _SHIFT in self.pages

    def word(self, gpa: int) -> int | None:
        """The 8-byte little-endian entry at `gpa`."""
        data = self.read(gpa, 8)
        return None if data is None else int.from_bytes(data, "little")

    def set_word(self, gpa: int, value: int) -> bool:
        return self.write(gpa, value.to_bytes(8, "little"))

    def copy(self) -> "WalkRam":
        other = WalkRam()
        other.pages = {page: bytearray(data) for page, data in self.pages.items()}
        other.protected = set(self.protected)
        return other

    def difference(self, other: "WalkRam") -> str:
        """Where two memories that were equal before differ after what either was written since; "" if nowhere."""
        for page in self.dirty | other.dirty:
            mine, theirs = self.pages[page], other.pages[page]
            if mine != theirs:
                at = next(i for i in range(PAGE) if mine[i] != theirs[i]) & ~7
                where = f"{(page << _SHIFT) + at:#x}"
                return f"at {where}: {mine[at : at + 8].hex()} and {theirs[at : at + 8].hex()}"
        self.dirty.clear()
        other.dirty.clear()
        return ""
