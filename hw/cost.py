"""Counts of what a PE did: the model's substitute for time.

Room:    beside the registers; whoever performs an access adds one to a field.
Owns:    the list of things counted.
Never:   decides anything.
Holds:   one field for each class of access; a counter only grows, until reset().
"""

from typing import Final, final

COUNTERS: Final = (
    "entries",
    "exits_mmio",
    "exits_sysreg",
    "exits_irq",
    "exits_wfi",
    "lr_reads",
    "lr_writes",
    "hcr_reads",
    "hcr_writes",
    "vmcr_reads",
    "vmcr_writes",
    "ap_reads",
    "ap_writes",
    "elrsr_reads",
    "status_reads",
    "vtr_reads",
    "sre_reads",
    "sre_writes",
    "icv_reads",
    "icv_writes",
    "icc_reads",
    "icc_writes",
    "phys_acks",
    "mmio_reads",
    "mmio_writes",
    "direct_acks",
    "doorbells",
    "residencies",
)

TRAFFIC: Final = (
    "msis",
    "vsgis",
    "dropped",
    "commands",
    "errors",
    "syncs",
    "table_reads",
    "table_writes",
    "default_doorbells",
    "individual_doorbells",
    "throttled",
)


@final
class Cost:
    """Counters of one PE.  The sum of the register counters is the traffic between software and GIC."""

    __slots__ = COUNTERS

    def __init__(self) -> None:
        """Start every counter at zero."""
        self.entries = 0  # guest entries
        self.exits_mmio = 0  # guest exits for an emulated distributor or redistributor access
        self.exits_sysreg = 0  # ... for a trapped system-register access
        self.exits_irq = 0  # ... for a physical interrupt
        self.exits_wfi = 0  # ... for a WFI that traps
        self.lr_reads = 0  # EL2: ICH_LR<n>
        self.lr_writes = 0
        self.hcr_reads = 0  # EL2: ICH_HCR
        self.hcr_writes = 0
        self.vmcr_reads = 0  # EL2: ICH_VMCR
        self.vmcr_writes = 0
        self.ap_reads = 0  # EL2: ICH_AP0R<n>, ICH_AP1R<n>
        self.ap_writes = 0
        self.elrsr_reads = 0  # EL2: ICH_ELRSR
        self.status_reads = 0  # EL2: ICH_MISR, ICH_EISR
        self.vtr_reads = 0  # EL2: ICH_VTR
        self.sre_reads = 0  # ICC_SRE_EL1, ICC_SRE_EL2
        self.sre_writes = 0
        self.icv_reads = 0  # EL1: the guest's own accesses, which do not exit
        self.icv_writes = 0
        self.icc_reads = 0  # the physical CPU interface
        self.icc_writes = 0
        self.phys_acks = 0  # physical interrupts acknowledged: by the hypervisor, where there is one
        self.mmio_reads = 0  # physical GICD and GICR
        self.mmio_writes = 0
        self.direct_acks = 0  # directly injected interrupts that the guest acknowledged: no exit, no list register
        self.doorbells = 0  # physical LPIs that announced an interrupt for a vPE which is not resident
        self.residencies = 0  # vPEs made resident here

    @property
    def exits_host(self) -> int:
        """Guest exits that the hypervisor or its host asked for.

        Every entry ends in one exit, so these need no counter; an entry in progress counts as one of them.
        """
        return self.entries - self.exits_mmio - self.exits_sysreg - self.exits_irq - self.exits_wfi

    def as_dict(self) -> dict[str, int]:
        """Every count by name: the counters in declaration order, then `exits_host`."""
        return {name: getattr(self, name) for name in (*COUNTERS, "exits_host")}

    def diff(self, earlier: "Cost") -> "Cost":
        """What was counted since `earlier`, a copy of these counters."""
        spent = Cost()
        for name in COUNTERS:
            setattr(spent, name, getattr(self, name) - getattr(earlier, name))
        return spent

    def copy(self) -> "Cost":
        """The counters as they are now, to diff() against later."""
        return self.diff(Cost())

    def add(self, other: "Cost") -> None:
        """Count what `other` did as well."""
        for name in COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def reset(self) -> None:
        """Start every counter at zero again."""
        for name in COUNTERS:
            setattr(self, name, 0)

    def total(self) -> int:
        """All register and MMIO accesses; entries and exits are not accesses."""
        return sum(count for name, count in self.as_dict().items() if name.endswith(("_reads", "_writes")))


@final
class Traffic:
    """Counters of one ITS, or of all the redistributors: what the GIC does by itself."""

    __slots__ = (*TRAFFIC, "by_command")

    def __init__(self) -> None:
        """Start every counter at zero."""
        self.msis = 0  # writes of GITS_TRANSLATER
        self.vsgis = 0  # writes of GITS_SGIR
        self.dropped = 0  # of those, to nothing that is mapped
        self.commands = 0
        self.errors = 0  # of those, in error
        self.syncs = 0  # of those, SYNC and VSYNC
        self.table_reads = 0  # accesses to tables in memory, configuration and pending tables among them
        self.table_writes = 0
        self.default_doorbells = 0
        self.individual_doorbells = 0
        self.throttled = 0  # messages that software had wait at their device; a msi only when it is sent
        self.by_command: dict[int, int] = {}  # command number -> how many

    def as_dict(self) -> dict[str, int]:
        """Every count by name, without those of single commands."""
        return {name: getattr(self, name) for name in TRAFFIC}

    def diff(self, earlier: "Traffic") -> "Traffic":
        """What was counted since `earlier`, a copy of these counters."""
        spent = Traffic()
        for name in TRAFFIC:
            setattr(spent, name, getattr(self, name) - getattr(earlier, name))
        for number, count in self.by_command.items():
            if count != earlier.by_command.get(number, 0):
                spent.by_command[number] = count - earlier.by_command.get(number, 0)
        return spent

    def add(self, other: "Traffic") -> None:
        """Count what `other` did as well."""
        for name in TRAFFIC:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for number, count in other.by_command.items():
            self.by_command[number] = self.by_command.get(number, 0) + count

    def reset(self) -> None:
        """Start every counter at zero again."""
        self.by_command.clear()
        for name in TRAFFIC:
            setattr(self, name, 0)


@final
class Account:
    """What all of a machine did until some moment: its PEs together, and its ITSs and redistributors together.

    A copy: it does not change when the machine goes on.  See Machine.account.
    """

    __slots__ = ("gic", "pes")

    def __init__(self) -> None:
        """Nothing done."""
        self.pes = Cost()  # with the accesses to the distributor
        self.gic = Traffic()

    def diff(self, earlier: "Account") -> "Account":
        """What was done since `earlier`."""
        spent = Account()
        spent.pes = self.pes.diff(earlier.pes)
        spent.gic = self.gic.diff(earlier.gic)
        return spent

    def as_dict(self) -> dict[str, int]:
        """Every count by name, without those of single commands."""
        return self.pes.as_dict() | self.gic.as_dict()
