"""The kinds of guest that a virtual CPU interface serves, and sequences of accesses for each.

Room:    under test_invariants, whose properties hold for all of them.
Owns:    what hypothesis may write, in the notation of scenario.py and frames.py, so a failure prints as a scenario.
Never:   says what must hold.
"""

from hypothesis import strategies as st

from hw import V2Config
from hw.config import VirtConfig
from tests.unit.hw.frames import RECORDED, PlayLegacy, PlayV2
from tests.unit.hw.scenario import Play

Strings = st.SearchStrategy[str]
STATES = st.sampled_from((0, 1, 1, 1, 2, 3))
PRIORITIES = st.sampled_from((0x00, 0x08, 0x40, 0x44, 0x46, 0x80, 0x84, 0xF0, 0xFE))
PMRS = st.sampled_from((0x00, 0x48, 0x88, 0xF0, 0xFF))
HCRS = st.builds("HCR={:#x}".format, st.sampled_from((0x0, 0x1, 0xF, 0x55, 0xAB, 0xF8000001)))
APS = st.sampled_from((0x0, 0x0, 0x10, 0x10100))


def lr_value(state: int, hw: bool, group: int, priority: int, eoi: bool, vintid: int) -> int:
    """A 64-bit list register; a hardware interrupt has pINTID = INTID + 100, and never a source CPU."""
    tied = (vintid + 100) << 32 if hw else eoi << 41
    return state << 62 | hw << 61 | group << 60 | priority << 48 | tied | vintid


def gich_lr_value(state: int, hw: bool, group: int, priority: int, eoi: bool, vintid: int) -> int:
    """A 32-bit list register."""
    tied = (vintid & 0x3FF) + 100 << 10 | vintid & 0x3FF if hw else eoi << 19 | vintid
    return hw << 31 | group << 30 | state << 28 | priority >> 3 << 23 | tied


class Kind:
    """A GICv3 guest, on the virtual interface of `config`."""

    vintids: tuple[int, ...] = (3, 27, 40, 41, 8195)
    elsewhere: tuple[int, ...] = (99, 8200, 1023)  # never in an LR of these sequences
    acknowledges: tuple[str, ...] = ("IAR0", "IAR1")
    ends: tuple[str, ...] = ("EOIR0", "EOIR1", "DIR")
    vmcr_low: tuple[int, ...] = (0x00A, 0x00B, 0x009, 0x01B, 0x20B, 0x21B, 0x20A)
    rpr = "RPR"

    def __init__(self, name: str, config: VirtConfig) -> None:
        self.name = name
        self.config = config

    def __repr__(self) -> str:
        """What a failure prints."""
        return self.name

    def new(self) -> Play:
        """An interface after reset."""
        return Play(self.config)

    def lr_values(self) -> st.SearchStrategy[int]:
        """Values of a list register."""
        return st.builds(
            lr_value, STATES, st.booleans(), st.integers(0, 1), PRIORITIES, st.booleans(), st.sampled_from(self.vintids)
        )

    def active_priorities(self) -> Strings:
        """Writes of active priorities by the hypervisor."""
        return st.builds("AP{}R0={:#x}".format, st.integers(0, 1), APS)

    def controls(self) -> Strings:
        """The guest's accesses other than acknowledge and end."""
        return st.one_of(
            st.builds("PMR={}".format, st.sampled_from((0x48, 0xF8, 0xFF))),
            st.builds("BPR{}={}".format, st.integers(0, 1), st.integers(0, 7)),
            st.builds("CTLR={}".format, st.integers(0, 3)),
            st.builds("IGRPEN{}={}".format, st.integers(0, 1), st.integers(0, 1)),
            st.sampled_from(("HPPIR0", "HPPIR1", "RPR", "PMR", "BPR0", "BPR1")),
        )

    def saved(self) -> list[str]:
        """The registers that a hypervisor saves and restores, in an order that restores them."""
        names = [f"LR{i}" for i in range(self.config.n_lr)]
        names += [f"AP{group}R{n}" for group in (0, 1) for n in range(self.config.ap_words)]
        return [*names, "VMCR", "HCR"]

    def sequences(self) -> st.SearchStrategy[list[str]]:
        """Accesses in order, to an enabled interface."""
        lrs = st.builds("LR{}={:#x}".format, st.integers(0, 1), self.lr_values())
        vmcrs = st.builds(
            lambda pmr, bprs, low: f"VMCR={pmr << 24 | bprs << 18 | low:#x}",
            PMRS,
            st.integers(0, 63),
            st.sampled_from(self.vmcr_low),
        )
        acknowledges = st.sampled_from(self.acknowledges)
        named = self.vintids * 3 + self.elsewhere
        completions = st.builds("{}={}".format, st.sampled_from(self.ends), st.sampled_from(named))
        hypervisor = st.one_of(vmcrs, HCRS, self.active_priorities())
        steps = st.one_of(
            lrs, lrs, lrs, acknowledges, acknowledges, completions, completions, hypervisor, self.controls()
        )
        return st.lists(steps, min_size=12, max_size=40).map(lambda all_: ["HCR=0x1", "VMCR=0xF84C000B", *all_])

    # What a GICv2-style guest has otherwise

    def by_group(self, group: int) -> tuple[str, str]:
        """The registers that acknowledge and end an interrupt of `group`."""
        return f"IAR{group}", f"EOIR{group}"

    def intid(self, value: int) -> int:
        """The INTID in a value of IAR, EOIR, DIR, or in an LR."""
        return value & 0xFF_FFFF

    def shown(self, lr: int) -> int:
        """What IAR returns of a 64-bit LR."""
        return self.intid(lr)

    def assert_vmcr_is_the_guests_registers(self, played: Play, vmcr: int) -> None:
        """VMCR is what the guest reads in its own registers, except BPR1 under CBPR."""
        read = played.read
        ctlr = read("CTLR")
        assert vmcr >> 24 == read("PMR")
        assert vmcr >> 21 & 7 == read("BPR0")
        assert (vmcr >> 4 & 1, vmcr >> 9 & 1) == (ctlr & 1, ctlr >> 1 & 1)
        assert (vmcr & 1, vmcr >> 1 & 1) == (read("IGRPEN0"), read("IGRPEN1"))
        assert read("BPR1") == (min(read("BPR0") + 1, 7) if ctlr & 1 else vmcr >> 18 & 7)


class Legacy(Kind):
    """A GICv2-style guest on a GICv3."""

    vintids: tuple[int, ...] = (3 | 1 << 10, 3 | 6 << 10, 27, 40, 41)
    elsewhere: tuple[int, ...] = (99, 5 | 1 << 10, 1023)
    acknowledges: tuple[str, ...] = ("V_IAR", "V_IAR", "V_AIAR")
    ends: tuple[str, ...] = ("V_EOIR", "V_EOIR", "V_AEOIR", "V_DIR")
    vmcr_low: tuple[int, ...] = (0x006, 0x007, 0x003, 0x00F, 0x001, 0x017, 0x207, 0x21F, 0x203)
    rpr = "V_RPR"

    def new(self) -> Play:
        """An interface after reset."""
        return PlayLegacy(self.config)

    def lr_values(self) -> st.SearchStrategy[int]:
        """Values of a list register."""
        return super().lr_values().map(lambda lr: lr & ~0x1C00 if lr >> 61 & 1 else lr)

    def active_priorities(self) -> Strings:
        """Writes of active priorities by the hypervisor."""
        return st.builds("AP1R0={:#x}".format, APS)

    def controls(self) -> Strings:
        """The guest's accesses other than acknowledge and end."""
        return st.one_of(
            st.builds("V_PMR={}".format, st.sampled_from((0x48, 0xF8, 0xFF))),
            st.builds("V_{}={}".format, st.sampled_from(("BPR", "ABPR")), st.integers(0, 7)),
            st.builds("V_CTLR={}".format, st.sampled_from(self.vmcr_low)),
            st.sampled_from(("V_HPPIR", "V_AHPPIR", "V_RPR", "V_PMR", "V_BPR", "V_ABPR", "V_IIDR")),
        )

    def by_group(self, group: int) -> tuple[str, str]:
        """The registers that acknowledge and end an interrupt of `group`."""
        return ("V_AIAR", "V_AEOIR") if group else ("V_IAR", "V_EOIR")

    def intid(self, value: int) -> int:
        """The INTID in a value of IAR, EOIR, DIR, or in an LR."""
        return value & 0x3FF

    def shown(self, lr: int) -> int:
        """What IAR returns of a 64-bit LR."""
        return lr & 0x1FFF if lr & 0x3FF < 16 and not lr >> 61 & 1 else lr & 0x3FF

    def assert_vmcr_is_the_guests_registers(self, played: Play, vmcr: int) -> None:
        """VMCR is what the guest reads in its own registers."""
        read = played.read
        assert vmcr & 0x21F == read("V_CTLR")
        assert (vmcr >> 18 & 7, vmcr >> 21 & 7, vmcr >> 24) == (read("V_ABPR"), read("V_BPR"), read("V_PMR"))


class V2(Legacy):
    """A guest on a GICv2."""

    def __init__(self, name: str, config: V2Config) -> None:
        super().__init__(name, config.gich)
        self.v2 = config
        if config is RECORDED:
            self.acknowledges = ("V_IAR",)
            self.ends = ("V_EOIR", "V_EOIR", "V_DIR")

    def new(self) -> Play:
        """An interface after reset."""
        return PlayV2(self.v2)

    def lr_values(self) -> st.SearchStrategy[int]:
        """Values of a list register."""
        vintids = st.sampled_from(self.vintids)
        return st.builds(gich_lr_value, STATES, st.booleans(), st.integers(0, 1), PRIORITIES, st.booleans(), vintids)

    def active_priorities(self) -> Strings:
        """Writes of active priorities by the hypervisor."""
        return st.builds("APR={:#x}".format, APS)

    def saved(self) -> list[str]:
        """The registers that a hypervisor saves and restores, in an order that restores them."""
        return [*(f"LR{i}" for i in range(self.config.n_lr)), "APR", "VMCR", "HCR"]

    def by_group(self, group: int) -> tuple[str, str]:
        """The registers that acknowledge and end an interrupt of `group`."""
        return ("V_IAR", "V_EOIR") if self.v2 is RECORDED else super().by_group(group)


KINDS: tuple[Kind, ...] = (
    Kind("GICv3 5/5", VirtConfig()),
    Kind("GICv3 6/6, 2 LRs", VirtConfig(pri_bits=6, pre_bits=6, n_lr=2)),
    Kind("GICv3 7/7", VirtConfig(pri_bits=7, pre_bits=7)),
    Kind("GICv3 8/5, 5 LRs", VirtConfig(pri_bits=8, pre_bits=5, n_lr=5)),
    Legacy("GICv2 on GICv3 5/5", VirtConfig(sre_legacy=True)),
    Legacy("GICv2 on GICv3 7/7", VirtConfig(pri_bits=7, pre_bits=7, sre_legacy=True)),
    V2("GICv2", V2Config()),
    V2("GICv2, 40 LRs", V2Config(n_lr=40)),
    V2("GICv2, recorded", RECORDED),
)
PLAYED = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), kind.sequences()))
PLAYED_TWICE = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), kind.sequences(), kind.sequences()))
