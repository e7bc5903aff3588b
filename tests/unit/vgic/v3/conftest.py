"""Builders for the tests of registers and lifecycle: a GICv3 VM of its own, and accesses in one line.

`Regs` accesses frames directly, as if the access had just trapped: nothing is entered, folded or pruned around it.
`Story` plays the VMM's side of a scenario from one line of text.
"""

import errno
from typing import Final

from hw import Machine, VirtConfig
from tests.support import device_of, make_vm
from tests.unit.vgic.rig import outcome
from vgic import CTRL_INIT, Addr, Device, DeviceType, Group, Host, Vcpu, Vgic
from vgic.dist import Dist
from vgic.irq import Irq
from vgic.mmio import Frame
from vgic.v3.dist import GICD
from vgic.v3.redist import SGI_BASE

SGI: Final = 5
PPI: Final = 27
SPI: Final = 40

FLAGS: Final = {"enabled": "enabled", "latch": "pending_latch", "line": "line_level", "active": "active"}
"""The words tests use for an interrupt's state, and the fields they stand for."""


class Regs:
    """An initialised GICv3 VM with `vcpus` vCPUs (ids 0, 1, ...), each on a physical CPU of its own."""

    def __init__(self, vcpus: int = 1, spis: int = 64, virt: VirtConfig | None = None) -> None:
        self.vm = make_vm(vcpus, spis=spis, virt=virt)
        self.kicks: list[int] = []
        self.vm.kick = self.kicks.append
        self.machine = self.vm.host.machine
        self.device = device_of(self.vm)
        self.vcpus: list[Vcpu] = list(self.vm.vcpus)
        self.dist = self.vcpus[0].dist
        self.dist.enabled = True

    def irq(self, intid: int, of: int = 0) -> Irq:
        irq = self.vcpus[of].find_irq(intid)
        assert irq is not None
        return irq

    # -- whole registers -------------------------------------------------------------------------

    def gicd_frame(self) -> Frame:
        assert self.dist.frame is not None
        return self.dist.frame

    def gicr_frame(self, of: int) -> Frame:
        frame = self.vcpus[of].redist
        assert frame is not None
        return frame

    def gicd(self, offset: int, size: int = 4, by: int = 0) -> int:
        return self.gicd_frame().read(self.vcpus[by], offset, size)

    def set_gicd(self, offset: int, value: int, size: int = 4, by: int = 0) -> None:
        self.gicd_frame().write(self.vcpus[by], offset, size, value)

    def gicr(self, offset: int, size: int = 4, of: int = 0, by: int = 0) -> int:
        return self.gicr_frame(of).read(self.vcpus[by], offset, size)

    def set_gicr(self, offset: int, value: int, size: int = 4, of: int = 0, by: int = 0) -> None:
        self.gicr_frame(of).write(self.vcpus[by], offset, size, value)

    def user(self, offset: int) -> int:
        return self.device.get_attr(Group.DIST_REGS, offset)

    def set_user(self, offset: int, value: int) -> None:
        self.device.set_attr(Group.DIST_REGS, offset, value)

    def user_gicr(self, offset: int, of: int = 0) -> int:
        return self.device.get_attr(Group.REDIST_REGS, self.vcpus[of].mpidr << 32 | offset)

    def set_user_gicr(self, offset: int, value: int, of: int = 0) -> None:
        self.device.set_attr(Group.REDIST_REGS, self.vcpus[of].mpidr << 32 | offset, value)

    # -- one interrupt of a bank, wherever its word lies -------------------------------------------

    def _place(self, bank: int, intid: int) -> tuple[Frame, int]:
        bits = GICD.row_at(bank).bits
        frame, first = (self.gicr_frame(0), SGI_BASE) if intid < 32 else (self.gicd_frame(), 0)
        return frame, first + bank + intid * bits // 32 * 4

    def bit(self, who: str, bank: int, intid: int) -> bool:
        """Read the bit of `intid` in a bank (by its GICD offset), as "guest" or "user"."""
        frame, offset = self._place(bank, intid)
        vcpu = self.vcpus[0]
        word = frame.read(vcpu, offset, 4) if who == "guest" else frame.user_read(vcpu, offset)
        return bool(word >> intid % 32 & 1)

    def write_word(self, who: str, bank: int, intid: int, value: int) -> None:
        """Write the word of a bank that covers `intid`."""
        frame, offset = self._place(bank, intid)
        if who == "guest":
            frame.write(self.vcpus[0], offset, 4, value)
        else:
            frame.user_write(self.vcpus[0], offset, value)

    # -- state in words --------------------------------------------------------------------------

    def given(self, irq: Irq, flags: str) -> None:
        """Put an interrupt in the state named: words of FLAGS, and "listed" (on its target's list)."""
        for word, field in FLAGS.items():
            setattr(irq, field, word in flags.split())
        if "listed" in flags:
            assert irq.target is not None
            irq.queued_on = irq.target
            irq.refs += 1
            irq.target.ap_list.append(irq)

    def flags(self, irq: Irq) -> str:
        """Return the state of an interrupt in the words of `given`."""
        words = [word for word, field in FLAGS.items() if getattr(irq, field)]
        return " ".join([*words, "listed"] if irq.queued_on is not None else words)

    def physical(self, hwintid: int) -> str:
        """Return "active", "pending", both or neither: the state of a physical interrupt."""
        words = []
        for word, bank in (("active", 0x300), ("pending", 0x200)):
            if hwintid < 32:
                state = self.machine.pes[0].redist.read(SGI_BASE + bank, 4)
            else:
                state = self.machine.dist.read(bank + hwintid // 32 * 4, 4)
            if state >> hwintid % 32 & 1:
                words.append(word)
        return " ".join(words)

    def set_physical(self, hwintid: int, flags: str) -> None:
        """Make a physical interrupt active, pending (by software), or both."""
        for word, bank in (("active", 0x300), ("pending", 0x200)):
            if word in flags:
                bit = 1 << hwintid % 32
                if hwintid < 32:
                    self.machine.pes[0].redist.write(SGI_BASE + bank, 4, bit)
                else:
                    self.machine.dist.write(bank + hwintid // 32 * 4, 4, bit)


class Story:
    """A VM under construction, told in steps; a step that KVM would refuse ends in "-> ERRNO".

    device / vcpu ID / irqs N / dist BASE / legacy BASE / region INDEX BASE COUNT / init / run ID
    frames ID=BASE ...   where redistributors lie; "-" for nowhere
    typer ID VALUE       the low word of GICR_TYPER, as user space reads it
    """

    def __init__(self, text: str = "", ipa_bits: int = 40) -> None:
        self.vm = Vgic(Host(Machine(cpus=1)), threads=False, ipa_bits=ipa_bits)
        self.handle: Device | None = None
        self.by_id: dict[int, Vcpu] = {}
        self.tell(text)

    @property
    def dist(self) -> Dist:
        return self.vm._dist

    @property
    def device(self) -> Device:
        assert self.handle is not None, "the story has no device yet"
        return self.handle

    def tell(self, text: str) -> None:
        for step in filter(None, map(str.strip, text.split(";"))):
            action, _, refused = (part.strip() for part in step.partition("->"))
            verb, *words = action.split()
            got = outcome(self._do, verb, words)
            assert errno.errorcode.get(got, "") == refused, step

    def _do(self, verb: str, words: list[str]) -> None:
        if verb == "frames":
            got = {word: self._frame(int(word.partition("=")[0])) for word in words}
            assert all(word.partition("=")[2] == base for word, base in got.items()), got
            return
        numbers = [int(word, 0) for word in words]
        if verb == "device":
            self.handle = self.vm.create_device(DeviceType.VGIC_V3)
        elif verb == "vcpu":
            self.by_id[numbers[0]] = self.vm.create_vcpu(numbers[0])
        elif verb == "irqs":
            self.device.set_attr(Group.NR_IRQS, 0, numbers[0])
        elif verb == "dist":
            self.device.set_attr(Group.ADDR, Addr.V3_DIST, numbers[0])
        elif verb == "legacy":
            self.device.set_attr(Group.ADDR, Addr.V3_REDIST, numbers[0])
        elif verb == "region":
            index, base, count = numbers
            self.device.set_attr(Group.ADDR, Addr.V3_REDIST_REGION, count << 52 | base | index)
        elif verb == "init":
            self.device.set_attr(Group.CTRL, CTRL_INIT)
        elif verb == "run":
            vcpu = self.by_id[numbers[0]]
            vcpu.enter()
            vcpu.exit()
        else:
            assert verb == "typer", verb
            got_typer = self.typer(numbers[0])
            assert got_typer == numbers[1], f"typer {numbers[0]} is {got_typer:#x}"

    def _frame(self, vcpu_id: int) -> str:
        vcpu = self.by_id[vcpu_id]
        assert vcpu.redist is not None
        return "-" if vcpu.rd_region is None else hex(vcpu.redist.base)

    def typer(self, vcpu_id: int) -> int:
        """Return the low word of GICR_TYPER of the vCPU whose default affinity goes with `vcpu_id` (below 16)."""
        return self.device.get_attr(Group.REDIST_REGS, vcpu_id << 32 | 8)
