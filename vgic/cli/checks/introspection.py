"""What the ITS says of itself, and that writing does not change it: kvm-unit-tests' `its-introspection`."""

from typing import Final

from vgic.cli.checks.board import GITS_BASE
from vgic.cli.checks.guest import Guest
from vgic.cli.checks.its import TYPE_COLLECTIONS, TYPE_DEVICES, Its
from vgic.cli.checks.migrate import GITS_IIDR, GITS_TYPER
from vgic.cli.checks.report import Report

_PHYSICAL: Final = 1 << 0
_VIRTUAL: Final = 1 << 1
_PTA: Final = 1 << 19
_CIL: Final = 1 << 36
_PATTERNS: Final = (0xFFFF_FFFF, 0xA5A5_5A5A, 0)
_COLLECTION_BITS_WITHOUT_CIL: Final = 16


def run(guest: Guest, report: Report) -> None:
    """Read, write, read again."""
    for name, offset in (("GITS_IIDR", GITS_IIDR), ("GITS_TYPER", GITS_TYPER)):
        report.expect(*_read_only(guest, GITS_BASE + offset, name))
    its = Its(guest)
    typer = its.typer
    report.expect(bool(typer & _PHYSICAL), "ITS supports physical LPIs")
    report.info(f"vLPI support: {'yes' if typer & _VIRTUAL else 'no'}")
    report.info(f"ITT entry size = {(typer >> 4 & 0xF) + 1:#x}")
    event_bits, device_bits = (typer >> 8 & 0x1F) + 1, (typer >> 13 & 0x1F) + 1
    collection_bits = (typer >> 32 & 0xF) + 1 if typer & _CIL else _COLLECTION_BITS_WITHOUT_CIL
    report.info(f"Bit Count: EventID={event_bits} DeviceId={device_bits} CollId={collection_bits}")
    # each field holds one less than the bits, so that a register that reads as zero has one of each
    report.expect(min(event_bits, device_bits, collection_bits) > 1, "ID spaces")
    report.info(f"Target address format {'Redist base address' if typer & _PTA else 'PE #'}")
    report.expect(
        TYPE_DEVICES in its.basers and TYPE_COLLECTIONS in its.basers,
        "detect device and collection BASER",
        f"found the types {sorted(its.basers)}",
    )
    for what, kind in (("device", TYPE_DEVICES), ("collection", TYPE_COLLECTIONS)):
        if kind in its.basers:
            report.info(f"{what} table entry_size = {(its.baser(its.basers[kind]) >> 48 & 0x1F) + 1:#x}")


def _read_only(guest: Guest, gpa: int, name: str) -> tuple[bool, str, str]:
    """Whether the register never changes: test_typer_v3() and its like."""
    first = guest.boot.load(gpa)
    changed = []
    for pattern in _PATTERNS:
        guest.boot.store(gpa, pattern)
        value = guest.boot.load(gpa)
        if value != first:
            changed.append(f"{pattern:#x} changes {first:#x} to {value:#x}")
    guest.boot.store(gpa, first)
    return not changed, f"{name} is read-only", "; ".join(changed)
