"""What holds after any sequence of accesses to the virtual CPU interface.

Hypothesis writes the sequences in the notation of scenario.py, so a failure prints as a scenario.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.arch import INTID_SPURIOUS
from hw.config import VirtConfig
from hw.ich import IchState
from tests.unit.hw.scenario import Play, play

CONFIGS = (
    VirtConfig(),
    VirtConfig(pri_bits=6, pre_bits=6, n_lr=2),
    VirtConfig(pri_bits=7, pre_bits=7),
    VirtConfig(pri_bits=8, pre_bits=5, n_lr=5),
)
VINTIDS = (3, 27, 40, 41, 8195)
ELSEWHERE = (99, 8200, 1023)  # never in an LR of these sequences
STATE = 3 << 62


def lr_value(state: int, hw: bool, group: int, priority: int, eoi: bool, vintid: int) -> int:
    """A list register value; a hardware interrupt has pINTID = vINTID + 100."""
    tied = (vintid + 100) << 32 if hw else eoi << 41
    return state << 62 | hw << 61 | group << 60 | priority << 48 | tied | vintid


LR_VALUES = st.builds(
    lr_value,
    st.sampled_from((0, 1, 1, 1, 2, 3)),
    st.booleans(),
    st.integers(0, 1),
    st.sampled_from((0x00, 0x08, 0x40, 0x44, 0x46, 0x80, 0x84, 0xF0, 0xFE)),
    st.booleans(),
    st.sampled_from(VINTIDS),
)
VMCRS = st.builds(
    lambda pmr, bprs, low: pmr << 24 | bprs << 18 | low,
    st.sampled_from((0x00, 0x48, 0x88, 0xF0, 0xFF)),
    st.integers(0, 63),
    st.sampled_from((0x00A, 0x00B, 0x009, 0x01B, 0x20B, 0x21B, 0x20A)),
)
LRS = st.builds("LR{}={:#x}".format, st.integers(0, 1), LR_VALUES)
HYPERVISOR = st.one_of(
    st.builds("VMCR={:#x}".format, VMCRS),
    st.builds("HCR={:#x}".format, st.sampled_from((0x0, 0x1, 0xF, 0x55, 0xAB, 0xF8000001))),
    st.builds("AP{}R0={:#x}".format, st.integers(0, 1), st.sampled_from((0x0, 0x0, 0x10, 0x10100))),
)
ACKNOWLEDGES = st.sampled_from(("IAR0", "IAR1"))
COMPLETIONS = st.builds(
    "{}={}".format, st.sampled_from(("EOIR0", "EOIR1", "DIR")), st.sampled_from(VINTIDS * 3 + ELSEWHERE)
)
CONTROLS = st.one_of(
    st.builds("PMR={}".format, st.sampled_from((0x48, 0xF8, 0xFF))),
    st.builds("BPR{}={}".format, st.integers(0, 1), st.integers(0, 7)),
    st.builds("CTLR={}".format, st.integers(0, 3)),
    st.builds("IGRPEN{}={}".format, st.integers(0, 1), st.integers(0, 1)),
    st.sampled_from(("HPPIR0", "HPPIR1", "RPR", "PMR", "BPR0", "BPR1")),
)
STEPS = st.one_of(LRS, LRS, LRS, ACKNOWLEDGES, ACKNOWLEDGES, COMPLETIONS, COMPLETIONS, HYPERVISOR, CONTROLS)
SEQUENCES = st.lists(STEPS, min_size=12, max_size=40).map(lambda steps: ["HCR=0x1", "VMCR=0xF84C000B", *steps])
QUICK = settings(max_examples=120, deadline=None)
ON_FIRST = ("LR", "VMCR", "HCR", "AP")  # how a hypervisor's access begins


@dataclass(frozen=True)
class Seen:
    """What can be observed between two accesses."""

    state: IchState
    ap0: int
    ap1: int
    eoicount: int
    line: str
    rpr: int


def look(played: Play) -> Seen:
    icv = played.icv
    return Seen(icv.snapshot(), icv.ap0, icv.ap1, icv.eoicount, played.lines(), played.read("RPR"))


def perform(played: Play, access: str) -> int:
    """Do one access of a sequence; a read gives its value, a write -1."""
    if "=" in access:
        played.do(access)
        return -1
    value = played.read(access)
    played.icv.check()
    return value


@QUICK
@given(st.sampled_from(CONFIGS), SEQUENCES)
def test_every_access_keeps_the_invariants(config: VirtConfig, sequence: list[str]) -> None:
    played = Play(config)
    for access in sequence:
        before = look(played)
        value = perform(played, access)
        after = look(played)
        assert_status_is_consistent(played, after)
        assert_vmcr_is_the_guests_registers(played, after)
        if not access.startswith(ON_FIRST):
            assert_guest_changed_only_state(before, after)
            assert_eoicount_counts_what_no_lr_took(access, before, after)
        if access.startswith("IAR"):
            assert_acknowledge(played, int(access[3]), value, before, after)
        elif access.startswith(("EOIR", "DIR")):
            assert_completion(played, access, before, after)


def assert_status_is_consistent(played: Play, now: Seen) -> None:
    """ELRSR and EISR split the Invalid LRs; the maintenance line is En and MISR."""
    elrsr, eisr = played.read("ELRSR"), played.read("EISR")
    invalid = sum(1 << i for i, lr in enumerate(now.state.lrs) if not lr & STATE)
    assert elrsr & eisr == 0
    assert elrsr | eisr == invalid
    assert played.icv.maintenance() == (now.state.hcr & 1 == 1 and played.read("MISR") != 0)
    assert (now.ap0 | now.ap1).bit_count() <= 1 << played.icv.config.pre_bits


def assert_vmcr_is_the_guests_registers(played: Play, now: Seen) -> None:
    """VMCR is what the guest reads in its own registers, except BPR1 under CBPR."""
    read = played.read
    ctlr, vmcr = read("CTLR"), now.state.vmcr
    assert vmcr >> 24 == read("PMR")
    assert vmcr >> 21 & 7 == read("BPR0")
    assert (vmcr >> 4 & 1, vmcr >> 9 & 1) == (ctlr & 1, ctlr >> 1 & 1)
    assert (vmcr & 1, vmcr >> 1 & 1) == (read("IGRPEN0"), read("IGRPEN1"))
    assert read("BPR1") == (min(read("BPR0") + 1, 7) if ctlr & 1 else vmcr >> 18 & 7)


LEGAL_MOVES = {(0, 0), (1, 1), (2, 2), (3, 3), (1, 2), (2, 0), (3, 1)}


def assert_guest_changed_only_state(before: Seen, after: Seen) -> None:
    """The guest moves at most one LR, along the state machine, and changes no other field."""
    moved = 0
    for was, now in zip(before.state.lrs, after.state.lrs, strict=True):
        assert was & ~STATE == now & ~STATE
        assert (was >> 62, now >> 62) in LEGAL_MOVES
        moved += was != now
    assert moved <= 1


def assert_acknowledge(played: Play, group: int, value: int, before: Seen, after: Seen) -> None:
    """An INTID comes back exactly if the line was up; then one LR is active at a new running priority."""
    if before.line != ("vFIQ", "vIRQ")[group]:
        assert value == INTID_SPURIOUS
        assert after == before
        return
    taken = [i for i, lr in enumerate(before.state.lrs) if lr != after.state.lrs[i]]
    assert len(taken) == 1
    lr = before.state.lrs[taken[0]]
    assert (lr & 0xFFFFFF, lr >> 62, after.state.lrs[taken[0]] >> 62) == (value, 1, 2)
    mask = (played.icv.mask0, played.icv.mask1)[group]
    assert after.rpr == lr >> 48 & mask < before.rpr
    gained = (before.ap0 | before.ap1) ^ (after.ap0 | after.ap1)
    assert gained.bit_count() == 1
    assert gained == (after.ap0 | after.ap1) & -(after.ap0 | after.ap1)
    assert (after.ap0 == before.ap0, after.ap1 == before.ap1) == (group == 1, group == 0)


def assert_completion(played: Play, access: str, before: Seen, after: Seen) -> None:
    """EOIR clears at most one active priority, DIR none; only an LR with HW=1 reaches the physical GIC."""
    cleared = (before.ap0 ^ after.ap0).bit_count() + (before.ap1 ^ after.ap1).bit_count()
    assert cleared <= (0 if access.startswith("DIR") else 1)
    assert after.ap0 & ~before.ap0 == 0
    assert after.ap1 & ~before.ap1 == 0
    ended = [was for was, now in zip(before.state.lrs, after.state.lrs, strict=True) if was != now]
    assert played.port.seen == [lr >> 32 & 0x1FFF for lr in ended if lr >> 61 & 1]
    played.port.seen.clear()


def assert_eoicount_counts_what_no_lr_took(access: str, before: Seen, after: Seen) -> None:
    """EOIcount grows by one exactly for a deactivation that names no active LR."""
    name, _, value = access.partition("=")
    vintid = int(value or "0", 0)
    by_dir = before.state.vmcr >> 9 & 1 == 1
    asked = name == "DIR" if by_dir else name.startswith("EOIR") and before.ap0 | before.ap1 != 0
    named = any(lr >> 63 & 1 and lr & 0xFFFFFF == vintid for lr in before.state.lrs)
    counts = asked and not named and vintid < 8192 and not 1020 <= vintid <= 1023
    assert after.eoicount == (before.eoicount + counts) % 32


@QUICK
@given(st.sampled_from(CONFIGS), SEQUENCES, SEQUENCES)
def test_saving_and_restoring_cannot_be_noticed(config: VirtConfig, past: list[str], future: list[str]) -> None:
    stayed = Play(config)
    for access in past:
        perform(stayed, access)
    moved = Play(config)
    perform(moved, "LR0=0xD0F0000000000063")  # somebody else's state, to be replaced
    moved.icv.restore(stayed.icv.snapshot())
    assert look(moved) == look(stayed)
    for access in future:
        assert perform(moved, access) == perform(stayed, access)
        assert look(moved) == look(stayed)


@QUICK
@given(st.sampled_from(CONFIGS), SEQUENCES)
def test_switching_by_registers_cannot_be_noticed(config: VirtConfig, past: list[str]) -> None:
    """What a hypervisor can read it can write back: save, clear, restore through the encodings."""
    played = Play(config)
    for access in past:
        perform(played, access)
    before = look(played)
    names = [f"LR{i}" for i in range(config.n_lr)]
    names += [f"AP{group}R{n}" for group in (0, 1) for n in range(config.ap_words)]
    names += ["VMCR", "HCR"]
    saved = {name: played.read(name) for name in names}
    for name in names:
        assert played.write(name, 0)
    for name, value in saved.items():
        assert played.write(name, value)
    assert look(played) == before


@QUICK
@given(
    st.sampled_from(CONFIGS),
    st.integers(0, 63),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 0xEF)), min_size=1, max_size=8),
)
def test_nested_acknowledges_and_ends_leave_nothing(
    config: VirtConfig, bprs: int, cbpr: bool, arrivals: list[tuple[int, int]]
) -> None:
    """Interrupts arrive in turn; those that preempt are ended in reverse order, under constant binary points."""
    played = Play(config)
    icv = played.icv
    played.do("HCR=0x1")
    played.do(f"VMCR={0xFF00000B | bprs << 18 | cbpr << 4:#x}")
    nested: list[tuple[int, int, int]] = []
    for vintid, (group, priority) in enumerate(arrivals, start=40):
        slot = len(nested)
        if slot == config.n_lr:
            break
        icv.write_lr(slot, vintid, True, False, priority, group, False, 0, False)
        if icv.iar(group) == vintid:
            nested.append((slot, group, vintid))
    played.do("IAR0→1023")
    played.do("IAR1→1023")
    if len(nested) < config.n_lr:
        icv.clear_lr(len(nested))  # the last arrival, if it had to wait
    for slot, group, vintid in reversed(nested):
        icv.eoir(group, vintid)
        assert not icv.lrs[slot].active, "an end in order deactivates what it names"
    assert (icv.ap0, icv.ap1, icv.eoicount) == (0, 0, 0)
    assert icv.read_elrsr() == (1 << config.n_lr) - 1


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.pri_bits}/{config.pre_bits}")
def test_the_lowest_implemented_priority_is_never_signalled(config: VirtConfig) -> None:
    lowest = config.pri_mask
    played = play("HCR=0x1 VMCR=0xFF00000A LR0=0x50FF000000000028", "lines→none; IAR1→1023", config)
    played.do(f"PMR→{lowest}")
