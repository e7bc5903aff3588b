"""A VMM in under 60 lines: two vCPUs, a level-triggered device, and a guest that takes its interrupt.

Run it: python docs/example_vmm.py
"""

from vgic import Vcpu, Vgic, arch

GICD, GICR = 0x0800_0000, 0x080A_0000
UART = 40  # the SPI our device drives


class Uart:
    """A device with one register: its line is high while a character waits."""

    def __init__(self, vm: Vgic) -> None:
        self.vm = vm
        self.waiting = ""
        vm.add_ack_notifier(UART, lambda intid: print(f"device: the guest completed SPI {intid}"))

    def receive(self, character: str) -> None:
        self.waiting = character
        self.vm.inject(UART, True)

    def read(self) -> str:
        self.vm.inject(UART, False)
        return self.waiting


def guest_setup(vcpu: Vcpu, number: int) -> None:
    """What a guest kernel does at boot."""
    vcpu.write(GICD, 4, 0x12)  # GICD_CTLR: affinity routing, enable group 1
    vcpu.msr(arch.ICC_PMR_EL1, 0xF0)
    vcpu.msr(arch.ICC_IGRPEN1_EL1, 1)
    if number == 1:
        vcpu.write(GICD + 0xC08, 4, 0)  # GICD_ICFGR2: SPIs 32 to 47 are level-triggered
        vcpu.write(GICD + 0x6000 + 8 * UART, 8, 1)  # GICD_IROUTER40: to affinity 0.0.0.1
        vcpu.write(GICD + 0x104, 4, 1 << UART - 32)  # GICD_ISENABLER1


def main() -> None:
    kicked: set[int] = set()
    vm = Vgic.gicv3(vcpus=2, spis=64, kick=kicked.add)
    uart = Uart(vm)
    for number, vcpu in enumerate(vm.vcpus):
        vcpu.enter()
        guest_setup(vcpu, number)
    uart.receive("x")
    print(f"vCPUs kicked: {sorted(kicked)}")
    vcpu = vm.vcpus[1]
    vcpu.exit()  # the kick made it leave the guest ...
    vcpu.enter()  # ... and on the way back in its list registers are filled
    intid = vcpu.mrs(arch.ICC_IAR1_EL1)
    print(f"guest: took INTID {intid}, read {uart.read()!r}")
    vcpu.msr(arch.ICC_EOIR1_EL1, intid)
    vcpu.exit()


if __name__ == "__main__":
    main()
