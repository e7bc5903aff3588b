"""What holds after any sequence of accesses to the virtual CPU interface, whatever kind of guest it serves."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.arch import FIRST_SPECIAL, INTID_LEGACY, INTID_SPURIOUS, VMCR_VACKCTL, VMCR_VENG0, VMCR_VENG1
from hw.ich import IchState
from tests.unit.hw.frames import RECORDED
from tests.unit.hw.kinds import KINDS, PLAYED, PLAYED_TWICE, V2, Kind, Legacy
from tests.unit.hw.scenario import Play

STATE = 3 << 62
QUICK = settings(max_examples=200, deadline=None)
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


def look(kind: Kind, played: Play) -> Seen:
    icv = played.icv
    return Seen(icv.snapshot(), icv.ap0, icv.ap1, icv.eoicount, played.lines(), played.read(kind.rpr))


def perform(played: Play, access: str) -> int:
    """Do one access of a sequence; a read gives its value, a write -1."""
    if "=" in access:
        played.do(access)
        return -1
    value = played.read(access)
    played.icv.check()
    return value


@QUICK
@given(PLAYED)
def test_every_access_keeps_the_invariants(case: tuple[Kind, list[str]]) -> None:
    kind, sequence = case
    played = kind.new()
    for access in sequence:
        before = look(kind, played)
        value = perform(played, access)
        after = look(kind, played)
        assert_status_is_consistent(played, after)
        kind.assert_vmcr_is_the_guests_registers(played, after.state.vmcr)
        if not access.startswith(ON_FIRST):
            assert_guest_changed_only_state(before, after)
            assert_eoicount_counts_what_no_lr_took(kind, access, before, after)
        if "IAR" in access:
            assert_acknowledge(kind, played, access, value, before, after)
        elif "EOIR" in access or "DIR" in access:
            assert_completion(played, access, before, after)


def assert_status_is_consistent(played: Play, now: Seen) -> None:
    """ELRSR and EISR split the Invalid LRs; the maintenance line is En and MISR."""
    icv = played.icv
    elrsr, eisr = icv.read_elrsr(), icv.read_eisr()
    invalid = sum(1 << i for i, lr in enumerate(now.state.lrs) if not lr & STATE)
    assert elrsr & eisr == 0
    assert elrsr | eisr == invalid
    assert icv.maintenance() == (now.state.hcr & 1 == 1 and icv.read_misr() != 0)
    assert (now.ap0 | now.ap1).bit_count() <= 1 << icv.config.pre_bits


LEGAL_MOVES = {(0, 0), (1, 1), (2, 2), (3, 3), (1, 2), (2, 0), (3, 1)}


def assert_guest_changed_only_state(before: Seen, after: Seen) -> None:
    """The guest moves at most one LR, along the state machine, and changes no other field."""
    moved = 0
    for was, now in zip(before.state.lrs, after.state.lrs, strict=True):
        assert was & ~STATE == now & ~STATE
        assert (was >> 62, now >> 62) in LEGAL_MOVES
        moved += was != now
    assert moved <= 1


def assert_acknowledge(kind: Kind, played: Play, access: str, value: int, before: Seen, after: Seen) -> None:
    """An INTID comes back exactly if a line was up for it; then one LR is active at a new running priority."""
    taken = [i for i, lr in enumerate(before.state.lrs) if lr != after.state.lrs[i]]
    if not taken:
        assert value in (INTID_SPURIOUS, INTID_LEGACY)
        assert after == before
        assert not must_take(kind, access, value, before)
        return
    assert len(taken) == 1
    lr = before.state.lrs[taken[0]]
    group = lr >> 60 & 1
    assert may_take(kind, access, group, before)
    assert (kind.shown(lr), lr >> 62, after.state.lrs[taken[0]] >> 62) == (value, 1, 2)
    mask = (played.icv.mask0, played.icv.mask1)[group]
    assert after.rpr == lr >> 48 & mask < before.rpr
    gained = (before.ap0 | before.ap1) ^ (after.ap0 | after.ap1)
    assert gained.bit_count() == 1
    assert gained == (after.ap0 | after.ap1) & -(after.ap0 | after.ap1)
    recorded_in_ap0 = group == 0 and not isinstance(kind, Legacy)
    assert (after.ap0 == before.ap0, after.ap1 == before.ap1) == (not recorded_in_ap0, recorded_in_ap0)


def must_take(kind: Kind, access: str, value: int, before: Seen) -> bool:
    """Whether `access` to an interface in the state `before` cannot but acknowledge something."""
    if not isinstance(kind, Legacy):
        return before.line == ("vFIQ", "vIRQ")[int(access[3])]
    if before.line == "none":
        return False
    if access == "V_AIAR":  # unless the line is Group 0's
        return before.state.vmcr & (VMCR_VENG0 | VMCR_VENG1) == VMCR_VENG1
    return value != INTID_LEGACY or before.state.vmcr & VMCR_VACKCTL != 0


def may_take(kind: Kind, access: str, group: int, before: Seen) -> bool:
    """Whether `access` to an interface in the state `before` may acknowledge an interrupt of `group`."""
    if not isinstance(kind, Legacy):
        return access == f"IAR{group}" and before.line == ("vFIQ", "vIRQ")[group]
    reached = group == 1 if access == "V_AIAR" else group == 0 or before.state.vmcr & VMCR_VACKCTL != 0
    if isinstance(kind, V2) and kind.v2 is RECORDED and not before.state.vmcr >> group & 1:
        return reached and before.line == "none"  # its group is disabled: offered all the same, without a line
    return reached and before.line != "none" and (group == 0 or before.line == "vIRQ")


def assert_completion(played: Play, access: str, before: Seen, after: Seen) -> None:
    """EOIR clears at most one active priority, DIR none; only an LR with HW=1 reaches the physical GIC."""
    cleared = (before.ap0 ^ after.ap0).bit_count() + (before.ap1 ^ after.ap1).bit_count()
    assert cleared <= (0 if "DIR" in access else 1)
    assert after.ap0 & ~before.ap0 == 0
    assert after.ap1 & ~before.ap1 == 0
    ended = [was for was, now in zip(before.state.lrs, after.state.lrs, strict=True) if was != now]
    named = [lr >> 32 & 0x1FFF for lr in ended if lr >> 61 & 1]
    assert played.port.seen == [pintid for pintid in named if pintid < FIRST_SPECIAL]
    played.port.seen.clear()


def assert_eoicount_counts_what_no_lr_took(kind: Kind, access: str, before: Seen, after: Seen) -> None:
    """EOIcount grows by one exactly for a deactivation that names no active LR."""
    name, _, value = access.partition("=")
    vintid = kind.intid(int(value or "0", 0))
    by_dir = before.state.vmcr >> 9 & 1 == 1
    asked = "DIR" in name if by_dir else "EOIR" in name and before.ap0 | before.ap1 != 0
    named = any(lr >> 63 & 1 and kind.intid(lr) == vintid for lr in before.state.lrs)
    counts = asked and not named and vintid < 8192 and not 1020 <= vintid <= 1023
    assert after.eoicount == (before.eoicount + counts) % 32


@QUICK
@given(PLAYED_TWICE)
def test_saving_and_restoring_cannot_be_noticed(case: tuple[Kind, list[str], list[str]]) -> None:
    kind, past, future = case
    stayed = kind.new()
    for access in past:
        perform(stayed, access)
    moved = kind.new()
    perform(moved, "LR0=0xD0F00063")  # somebody else's state, to be replaced
    moved.icv.restore(stayed.icv.snapshot())
    assert look(kind, moved) == look(kind, stayed)
    for access in future:
        assert perform(moved, access) == perform(stayed, access)
        assert look(kind, moved) == look(kind, stayed)


@QUICK
@given(PLAYED)
def test_switching_by_registers_cannot_be_noticed(case: tuple[Kind, list[str]]) -> None:
    """What a hypervisor can read it can write back: save, clear, restore through its registers."""
    kind, past = case
    played = kind.new()
    for access in past:
        perform(played, access)
    before = look(kind, played)
    names = kind.saved()
    saved = {name: played.read(name) for name in names}
    for name in names:
        assert played.write(name, 0)
    for name, value in saved.items():
        assert played.write(name, value)
    assert look(kind, played) == before


@QUICK
@given(
    st.sampled_from(KINDS),
    st.integers(0, 63),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 0xEF)), min_size=1, max_size=8),
)
def test_nested_acknowledges_and_ends_leave_nothing(
    kind: Kind, bprs: int, cbpr: bool, arrivals: list[tuple[int, int]]
) -> None:
    """Interrupts arrive in turn; those that preempt are ended in reverse order, under constant binary points."""
    played = kind.new()
    icv = played.icv
    played.do("HCR=0x1")
    played.do(f"VMCR={0xFF00000F | bprs << 18 | cbpr << 4:#x}")
    nested: list[tuple[int, str, int]] = []
    for vintid, (group, priority) in enumerate(arrivals, start=40):
        slot = len(nested)
        if slot == kind.config.n_lr:
            break
        icv.write_lr(slot, vintid, True, False, priority, group, False, 0, False)
        iar, eoir = kind.by_group(group)
        if played.read(iar) == vintid:
            nested.append((slot, eoir, vintid))
    for group in (0, 1):
        assert played.read(kind.by_group(group)[0]) == INTID_SPURIOUS
    if len(nested) < kind.config.n_lr:
        icv.clear_lr(len(nested))  # the last arrival, if it had to wait
    for slot, eoir, vintid in reversed(nested):
        played.do(f"{eoir}={vintid}")
        assert not icv.lrs[slot].active, "an end in order deactivates what it names"
    assert (icv.ap0, icv.ap1, icv.eoicount) == (0, 0, 0)
    assert icv.read_elrsr() == (1 << kind.config.n_lr) - 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_lowest_implemented_priority_is_never_signalled(kind: Kind) -> None:
    played = kind.new()
    played.start("HCR=0x1 VMCR=0xFF00000F", "")
    played.icv.write_lr(0, 40, True, False, 0xFF, 1, False, 0, False)
    assert played.icv.read_lr(0).priority == kind.config.pri_mask == played.icv.vpmr
    played.do("lines→none")
    for group in (0, 1):
        assert played.read(kind.by_group(group)[0]) == INTID_SPURIOUS
