"""One ITS below its registers: translation, and the vPEs that it maps.

Room:    between maps and the commands on one side, the frame with registers and queue on the other.
Owns:    the way of an MSI, and of an SGI for a vPE; the vPEs that are mapped on this ITS.
Never:   executes commands; knows where a register is.
Holds:   vpe in self.vpes.values()  <=>  the bit of this ITS in vpe.maps is set.  Checked by check().

Source: IHI 0069H, the ITS.
"""

from collections.abc import Sequence
from typing import Final

from hw.arch4 import (
    GICR_STRIDE_V3,
    GICR_STRIDE_V4,
    GITS_SGIR,
    GITS_TYPER_SVPET_SHIFT,
    GITS_TYPER_VIRTUAL,
    GITS_TYPER_VMAPP,
    GITS_TYPER_VSGI,
    NO_DOORBELL,
    STATUSR_OVERFLOW,
    STATUSR_UMSI,
    U32,
)
from hw.config4 import ItsConfig
from hw.cost import Traffic
from hw.fabric import Fabric
from hw.its.maps import Ite, ItsError, Maps, MemoryFault
from hw.redist import Redistributor
from hw.tables import Table
from hw.vpe import Vpe
from hw.vpes import Vpes

VPEID_MASK: Final = 0xFFFF

Words = tuple[int, int, int, int]


class ItsCore:
    """ITS `number` of a machine, in front of its redistributors."""

    def __init__(
        self, number: int, config: ItsConfig, fabric: Fabric, vpes: Vpes, redists: Sequence[Redistributor]
    ) -> None:
        """Reset state: disabled, no tables."""
        self.number = number
        self.name = f"GITS{number}"
        self.config = config
        self.fabric = fabric
        self.misuse = fabric.misuse
        self.all_vpes = vpes
        self.redists = redists
        self.dist = redists[0].dist
        self.cost = Traffic()
        self.maps = Maps(fabric, config, self.cost)
        self.typer = config.typer(fabric.v4)
        self.virtual = self.typer & GITS_TYPER_VIRTUAL != 0
        self.v41 = self.typer & GITS_TYPER_VMAPP != 0
        self.has_vsgi = self.typer & GITS_TYPER_VSGI != 0
        self.svpet = self.typer >> GITS_TYPER_SVPET_SHIFT & 3
        self.vpe_table: Table | None = None
        self.vpes: dict[int, Vpe] = {}  # mapped here, by vPEID
        self.targets: dict[int, int] = {}  # vPEID -> how many events of this ITS go to it
        self.individual: dict[int, list[int]] = {}  # doorbell -> [vPEID, how many events of it use it]
        self.errors: list[ItsError] = []  # the first MAX_RECORDS of them
        self.enabled = False
        self.waiting = False  # a VMOVP waits for other ITSs: CREADR stays on it
        self.statusr = 0
        self.umsir = 0

    def resume(self, number: int) -> None:
        """Command `number`, which waited for other ITSs, is done: go on behind it."""
        raise NotImplementedError

    # Translation

    def msi(self, devid: int, eventid: int) -> None:
        """Device `devid` writes `eventid` to GITS_TRANSLATER."""
        self.cost.msis += 1
        trace = self.fabric.trace
        if self.enabled:
            device = self.maps.devices.get(devid)
            ite = None if device is None else device.ites.get(eventid)
            try:
                if ite is None:
                    ite = self._look_up(devid, eventid)
                if ite is not None:
                    if trace is not None:
                        trace.event("xlate", self.number, devid, eventid, "vlpi" if ite.virtual else "lpi")
                    if ite.virtual:  # as deliver() does
                        vpe = self.vpes.get(ite.where)
                        if vpe is not None:
                            vpe.pend(ite.intid, ite.doorbell)
                            if self.dist.listeners:
                                self.dist.notify()
                            return
                    elif self.deliver(ite):
                        return
            except MemoryFault:
                pass
        self.cost.dropped += 1
        if trace is not None:
            trace.event("xlate", self.number, devid, eventid, "dropped")

    def deliver(self, ite: Ite) -> bool:
        """Make the interrupt of `ite` pending; False if its collection or vPE is not mapped."""
        if ite.virtual:
            vpe = self.vpes.get(ite.where)
            if vpe is None:
                return False
            vpe.pend(ite.intid, ite.doorbell)
            return True
        redist = self.collection(ite.where)
        if redist is None:
            return False
        redist.set_lpi(ite.intid)
        return True

    def collection(self, icid: int) -> Redistributor | None:
        """The redistributor of a collection, if that is mapped."""
        number = self.maps.collection(icid)
        return self.redists[number] if 0 <= number < len(self.redists) else None

    def find(self, devid: int, eventid: int) -> Ite | None:
        """The event, if it is mapped."""
        device = self.maps.device(devid)
        return None if device is None else self.maps.event(device, eventid)

    def _look_up(self, devid: int, eventid: int) -> Ite | None:
        """The event, if it is mapped; else report the MSI, if UMSI says so."""
        ite = self.find(devid, eventid)
        if ite is None and self.config.umsi:
            if self.statusr & STATUSR_UMSI:
                self.statusr |= STATUSR_OVERFLOW
            else:
                self.statusr |= STATUSR_UMSI
                self.umsir = (devid & U32) << 32 | eventid & U32
        return ite

    def send_sgi(self, value: int) -> None:
        """Write GITS_SGIR: make an SGI of a vPE pending, whatever its group."""
        self.cost.vsgis += 1
        vpe = self.vpes.get(value >> 32 & VPEID_MASK)
        if vpe is not None and self.enabled:
            vpe.pend(value & 0xF, NO_DOORBELL)
            if self.dist.listeners:
                self.dist.notify()
            return
        self.cost.dropped += 1
        if vpe is None:
            self.misuse.doing(self.name, GITS_SGIR, value)
            self.misuse.report("M-29", f"vPE {value >> 32 & VPEID_MASK}")
            self.misuse.done()

    def unmap_vpe(self, vpeid: int) -> None:
        """A vPE is no longer mapped here.  GICv4.1: with the last mapping goes the vPE."""
        vpe = self.vpes.pop(vpeid)
        vpe.maps &= ~(1 << self.number)
        if not vpe.maps:
            if vpe.frame is not None and self.v41:
                if not vpe.frame.settling():
                    self.misuse.report("M-09", f"vPE {vpeid}")
                vpe.frame.evict()
            key = vpeid if self.v41 else vpe.vpt
            if vpe.frame is None and key in self.all_vpes.by_key:
                self.all_vpes.end(key, vpe)
        if self.v41:
            self.all_vpes.store(vpe)

    def redistributor(self, rdbase: int) -> Redistributor | None:
        """The redistributor that the RDbase field, bits 51:16 of a word, names."""
        if self.config.pta:
            stride = GICR_STRIDE_V3 if self.fabric.v4 is None else GICR_STRIDE_V4
            number, rest = divmod((rdbase << 16) - self.fabric.phys.redist_base, stride)
            if rest:
                return None
        else:
            number = rdbase
        return self.redists[number] if 0 <= number < len(self.redists) else None

    def check(self) -> None:
        """Assert what always holds."""
        self.maps.check()
        for vpeid, vpe in self.vpes.items():
            assert vpe.maps >> self.number & 1, f"{self.name}: vPE {vpeid} does not know that it is mapped here"
        for vpe in self.all_vpes.by_key.values():
            mapped = any(vpe is other for other in self.vpes.values())
            assert mapped == bool(vpe.maps >> self.number & 1), f"{self.name}: vPE {vpe.vpeid} is lost"
