"""A PE of a machine with a GICv3: its system registers at each exception level.

Room:    above icc and redist; adds to pe what the system-register interface does.
Owns:    ICC_SRE_ELx accesses; the other control bits are routing's.
Never:   runs code, takes an exception: it says which access traps where.
Holds:   physical interrupts named by an LR of this PE are deactivated through this PE.

Source: DDI 0601, IHI 0069H.
"""

from typing import Final, final

from hw.arch import (
    ICC_EOIR1_EL1,
    ICC_IAR1_EL1,
    ICC_SRE_EL1,
    ICC_SRE_EL2,
    ICC_SRE_EL3,
    IIDR_ARM,
    ISR_EL1,
    SRE_ENABLE,
    SRE_SRE,
    TRAP_EL2,
    TRAP_EL3,
    UNDEFINED,
)
from hw.config import V2Profile, VirtConfig
from hw.cost import Cost
from hw.direct import DirectIcv
from hw.dist3 import DistributorV3
from hw.fabric import Fabric
from hw.gicv import Gicv, RecordedGicv
from hw.icc import Icc
from hw.iccregs import READ, WRITE, read_icc, write_icc
from hw.ich import PhysicalDeactivator
from hw.ichregs import ICH_REGISTERS
from hw.icv import Icv
from hw.pe import Pe
from hw.recorded import RecordedIcv
from hw.redist import Redistributor
from hw.redist4 import RedistributorV4
from hw.routing import SRE_EL1_VALUE, TO_PHYSICAL, TO_VIRTUAL
from hw.vpes import Vpes

IIDR_GICV3: Final = 3 << 16 | IIDR_ARM  # GICV_IIDR: architecture version 3


@final
class PeV3(Pe):
    """A PE with redistributor `redist` and physical CPU interface `phys`."""

    def __init__(
        self, index: int, aff: int, dist: DistributorV3, config: VirtConfig, fabric: Fabric, vpes: Vpes
    ) -> None:
        """Reset state.  With GICv4 the redistributor has a VLPI frame, whatever the CPU interface tolerates."""
        cost = Cost()
        recorded = config.v2_profile is V2Profile.RECORDED
        virt: Icv
        if config.direct:
            virt = DirectIcv(config, cost, fabric.misuse)
            vpes.owners.append(virt.owners)
        else:
            virt = RecordedIcv(config, cost) if recorded else Icv(config, cost)
        redist: Redistributor
        if fabric.v4 is None:
            redist = Redistributor(index, aff, dist, virt, fabric, cost)
        else:
            redist = RedistributorV4(index, aff, dist, virt, fabric, cost, vpes)
        gicv = (RecordedGicv if recorded else Gicv)(virt, IIDR_GICV3) if config.sre_legacy else None
        super().__init__(index, aff, dist, redist, virt, gicv, SRE_EL1_VALUE)
        self.redist = redist
        self.phys = Icc(redist, dist, cost)
        virt.deactivate_port = _Forwarded(self.phys)

    def entering(self, context: int) -> None:
        """The hypervisor enters a guest whose ICH_* state it calls `context`; see DirectIcv.entering."""
        if isinstance(self.virt, DirectIcv):
            self.virt.entering(context)

    # Accesses at EL1: the guest's, when HCR_EL2 says so

    def mrs_el1(self, encoding: int) -> int:
        """Read a system register at EL1."""
        if encoding == ICC_IAR1_EL1 and self.g1_direct and not self.virt.tall1:
            value = self.virt.iar(1)
        else:
            value = self._read_el1(encoding)
        if self._watcher is not None:
            self.poll_lines()
        return value

    def msr_el1(self, encoding: int, value: int) -> int:
        """Write a system register at EL1."""
        if encoding == ICC_EOIR1_EL1 and self.g1_direct and not self.virt.tall1:
            self.virt.eoir(1, value)
            outcome = 0
        else:
            outcome = self._write_el1(encoding, value)
        if self._watcher is not None:
            self.poll_lines()
        return outcome

    def _read_el1(self, encoding: int) -> int:
        if encoding == ISR_EL1:
            return self.isr_el1()
        if encoding == ICC_SRE_EL1:
            return self._sre_trap(encoding, READ) or self._read_sre(encoding)
        route = self.route_el1(encoding, READ)
        if route == TO_VIRTUAL:
            return self.virt.read_icv(encoding)
        return read_icc(self.phys, encoding, self.view) if route == TO_PHYSICAL else route

    def _write_el1(self, encoding: int, value: int) -> int:
        if encoding == ICC_SRE_EL1:
            return self._sre_trap(encoding, WRITE) or self._write_sre(encoding, value)
        route = self.route_el1(encoding, WRITE)
        if route == TO_VIRTUAL:
            return 0 if self.virt.write_icv(encoding, value) else UNDEFINED
        if route == TO_PHYSICAL:
            return 0 if write_icc(self.phys, encoding, value, self.view) else UNDEFINED
        return route

    # Accesses at EL2: ICC_* is the physical interface, ICH_* the control of the virtual one

    def mrs_el2(self, encoding: int) -> int:
        """Read a system register at EL2."""
        value = self._read_el2(encoding)
        if self._watcher is not None:
            self.poll_lines()
        return value

    def msr_el2(self, encoding: int, value: int) -> int:
        """Write a system register at EL2."""
        outcome = self._write_el2(encoding, value)
        if self._watcher is not None:
            self.poll_lines()
        return outcome

    def _read_el2(self, encoding: int) -> int:
        if encoding == ISR_EL1:
            return self.physical_isr()
        if encoding in (ICC_SRE_EL1, ICC_SRE_EL2):
            if not self.sre_el3 & SRE_ENABLE:
                return self.trap(TRAP_EL3, encoding, READ)
            return self._read_sre(encoding)
        if encoding in ICH_REGISTERS:
            if not self.sre_el2 & SRE_SRE:
                return self.trap(TRAP_EL2, encoding, READ)
            return self.virt.read_ich(encoding)
        route = self.route_el2(encoding, READ)
        return read_icc(self.phys, encoding, self.view) if route == TO_PHYSICAL else route

    def _write_el2(self, encoding: int, value: int) -> int:
        if encoding in (ICC_SRE_EL1, ICC_SRE_EL2):
            if not self.sre_el3 & SRE_ENABLE:
                return self.trap(TRAP_EL3, encoding, WRITE)
            return self._write_sre(encoding, value)
        if encoding in ICH_REGISTERS:
            if not self.sre_el2 & SRE_SRE:
                return self.trap(TRAP_EL2, encoding, WRITE)
            return 0 if self.virt.write_ich(encoding, value) else UNDEFINED
        route = self.route_el2(encoding, WRITE)
        if route == TO_PHYSICAL:
            return 0 if write_icc(self.phys, encoding, value, self.view) else UNDEFINED
        return route

    # Accesses at EL3, which exists with two security states

    def mrs_el3(self, encoding: int) -> int:
        """Read a system register at EL3; banked registers are those of SCR_EL3.NS."""
        if self.one_state:
            return UNDEFINED
        if encoding == ISR_EL1:
            return self.physical_isr()
        if encoding in (ICC_SRE_EL1, ICC_SRE_EL2, ICC_SRE_EL3):
            return self._read_sre(encoding)
        if encoding in ICH_REGISTERS:
            value = self.virt.read_ich(encoding)
        else:
            value = read_icc(self.phys, encoding, self.view_el3)
        if self._watcher is not None:
            self.poll_lines()
        return value

    def msr_el3(self, encoding: int, value: int) -> int:
        """Write a system register at EL3; banked registers are those of SCR_EL3.NS."""
        if self.one_state:
            return UNDEFINED
        if encoding in (ICC_SRE_EL1, ICC_SRE_EL2, ICC_SRE_EL3):
            return self._write_sre(encoding, value)
        if encoding in ICH_REGISTERS:
            done = self.virt.write_ich(encoding, value)
        else:
            done = write_icc(self.phys, encoding, value, self.view_el3)
        if self._watcher is not None:
            self.poll_lines()
        return 0 if done else UNDEFINED

    # ICC_SRE_ELx: never virtual

    def _sre_trap(self, encoding: int, direction: int) -> int:
        """The exception of an EL1 access to ICC_SRE_EL1 that a higher level keeps to itself, or 0."""
        if self.el2_enabled and not self.sre_el2 & SRE_ENABLE:
            return self.trap(TRAP_EL2, encoding, direction)
        if not self.sre_el3 & SRE_ENABLE:
            return self.trap(TRAP_EL3, encoding, direction)
        return 0

    def _read_sre(self, encoding: int) -> int:
        self.cost.sre_reads += 1
        if encoding == ICC_SRE_EL1:
            return self.sre_el1
        return self.sre_el2 if encoding == ICC_SRE_EL2 else self.sre_el3

    def _write_sre(self, encoding: int, value: int) -> int:
        """SRE is RAO/WI, except with `sre_legacy`; DFB and DIB are RAO/WI; Enable is writable.

        ICC_SRE_EL1.SRE can be cleared only while HCR_EL2.IMO, FMO and AMO route everything to EL2.
        ICC_SRE_EL3.SRE is always RAO/WI.
        """
        self.cost.sre_writes += 1
        legacy = self.virt.config.sre_legacy
        if encoding == ICC_SRE_EL1:
            clear = legacy and self.imo and self.fmo and self.amo and not value & SRE_SRE
            self.sre_el1 = SRE_EL1_VALUE & ~SRE_SRE if clear else SRE_EL1_VALUE
        elif encoding == ICC_SRE_EL2:
            self.sre_el2 = SRE_EL1_VALUE | value & SRE_ENABLE
            if legacy and not value & SRE_SRE:
                self.sre_el2 &= ~SRE_SRE
        else:
            self.sre_el3 = SRE_EL1_VALUE | value & SRE_ENABLE
        return 0

    # Lines

    def physical_line(self) -> int:
        """The physical CPU interface's LINE_IRQ, LINE_FIQ or LINE_NONE."""
        return self.phys.line(self.view)

    def check(self) -> None:
        """Assert what always holds."""
        super().check()
        self.phys.check()


@final
class _Forwarded(PhysicalDeactivator):
    """Deactivates what the guest's LRs name, as a Non-secure write of ICC_DIR_EL1 by this PE would."""

    def __init__(self, phys: Icc) -> None:
        self.phys = phys

    def deactivate(self, pintid: int) -> None:
        self.phys.deactivate(pintid, False)
