"""Where redistributors lie: what a region may be, which vCPU gets which slot, and where Last is read.

Each row is a VMM's story (see conftest.Story); "-> ERRNO" ends a step that KVM refuses.  A frame has 128 KiB.
"""

from typing import Final

import pytest

from tests.support import freeze
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v3.conftest import Story
from vgic import Addr, Group, VgicError
from vgic.errors import ENOENT
from vgic.ranges import overlaps

TOP: Final = (1 << 64) - 0x1_0000
IPA: Final = 1 << 40

# The checks of KVM's vgic_v3_alloc_redist_region(), in its order
REFUSED: Final = {
    "count 0": "device; region 0 0x200000 0 -> EINVAL",
    "flags": "device; region 0 0x201000 1 -> EINVAL",
    "flags, though the index is wrong too": "device; region 1 0x201000 1 -> EINVAL",
    "a legacy region that wraps": f"vcpu 0; device; legacy {TOP:#x} -> EINVAL",
    "a legacy region that ends at 2^64": f"vcpu 0; device; legacy {TOP - 0x10000:#x} -> EINVAL",
    "one that wraps, though one exists": f"vcpu 0; device; legacy 0x200000; legacy {TOP:#x} -> EINVAL",
    "the first region has another index": "device; region 1 0x200000 1 -> EINVAL",
    "the same index again": "device; region 0 0x200000 1; region 0 0x400000 1 -> EINVAL",
    "an index is skipped": "device; region 0 0x200000 1; region 2 0x400000 1 -> EINVAL",
    "legacy after a region with a count": "device; region 0 0x200000 1; legacy 0x400000 -> EINVAL",
    "legacy twice": "device; legacy 0x200000; legacy 0x400000 -> EEXIST",
    "legacy twice, misaligned": "device; legacy 0x200000; legacy 0x400001 -> EEXIST",
    "index 0 after legacy": "device; legacy 0x200000; region 0 0x400000 1 -> EINVAL",
    "legacy over the distributor": "vcpu 0; device; dist 0x200000; legacy 0x1F0000 -> EINVAL",
    "legacy at the distributor's base": "vcpu 0; device; dist 0x200000; legacy 0x200000 -> EINVAL",
    "over another region": "device; region 0 0x200000 2; region 1 0x100000 10 -> EINVAL",
    "inside another region": "device; region 0 0x200000 10; region 1 0x220000 1 -> EINVAL",
    "around another region": "device; region 0 0x240000 1; region 1 0x200000 10 -> EINVAL",
    "over what the legacy region has grown to": (
        "vcpu 0; vcpu 1; device; legacy 0x200000; region 1 0x220000 1 -> EINVAL"
    ),
    "legacy, misaligned": "vcpu 0; device; legacy 0x201000 -> EINVAL",
    "legacy, misaligned and past the end": f"vcpu 0; device; legacy {IPA + 0x1000:#x} -> EINVAL",
    "legacy at the end of guest physical space": f"vcpu 0; device; legacy {IPA:#x} -> E2BIG",
    "legacy over the end": f"vcpu 0; device; legacy {IPA - 0x10000:#x} -> E2BIG",
    "legacy at the end, without a vCPU": f"device; legacy {IPA:#x} -> E2BIG",
    "a region at the end": f"device; region 0 {IPA:#x} 1 -> E2BIG",
    "a region over the end": f"device; region 0 {IPA - 0x20000:#x} 2 -> E2BIG",
    "a region at the distributor's base, when a vCPU waits": (
        "vcpu 0; device; dist 0x200000; region 0 0x200000 1 -> EINVAL"
    ),
    "a sound region, when an earlier one turns out to lie over the distributor": (
        "device; dist 0x200000; region 0 0x200000 1; vcpu 0 -> EINVAL"
    ),
}


@pytest.mark.parametrize("story", REFUSED.values(), ids=REFUSED)
def test_refused(story: str) -> None:
    """The last step of each row is refused, and changes nothing."""
    steps, _, refused = story.rpartition("; ")
    told = Story(steps)
    before = freeze(told.dist)
    told.tell(refused)
    assert freeze(told.dist) == before


ACCEPTED: Final = {
    "two regions": "device; region 0 0x200000 2; region 1 0x400000 1",
    "regions that touch": "device; region 0 0x200000 2; region 1 0x240000 1; region 2 0x1E0000 1",
    "the last bytes of guest physical space": f"device; region 0 {IPA - 0x20000:#x} 1",
    "legacy in the last bytes": f"vcpu 0; device; legacy {IPA - 0x20000:#x}",
    "legacy just below the distributor": "vcpu 0; device; dist 0x220000; legacy 0x200000",
    "legacy just above the distributor": "vcpu 0; device; dist 0x1F0000; legacy 0x200000",
    "a region over the distributor, as long as nobody needs it": "device; dist 0x200000; region 0 0x200000 1",
    "the distributor over a region, always": "vcpu 0; device; region 0 0x200000 1; dist 0x200000",
    "index 1 after legacy, which is never used": (
        "vcpu 0; device; legacy 0x200000; region 1 0x400000 4; vcpu 1; frames 0=0x200000 1=0x220000"
    ),
    "a region as large as an attribute can say": "device; region 0 0x200000 4095",
    "an index whose high bits are cut off": "device; region 0x100 0x200000 1; region 0xF01 0x400000 1",
}


@pytest.mark.parametrize("story", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(story: str) -> None:
    Story(story)


def test_at_most_256_regions_fit_the_index() -> None:
    steps = "; ".join(f"region {n} {(n + 1) * 0x20000:#x} 1" for n in range(256))
    Story(f"device; {steps}; region 256 0x8000000 1 -> EINVAL")


PLACED: Final = {
    "nobody without a region": "vcpu 0; device; frames 0=-",
    "in order of creation, not of id": (
        "device; vcpu 3; vcpu 0; vcpu 7; legacy 0x200000; frames 3=0x200000 0=0x220000 7=0x240000"
    ),
    "when the vCPU is created": "device; legacy 0x200000; vcpu 3; frames 3=0x200000; vcpu 0; frames 0=0x220000",
    "vCPUs that were there before the device": "vcpu 0; vcpu 1; device; legacy 0x200000; frames 0=0x200000 1=0x220000",
    "the rest when the next region comes": (
        "device; vcpu 0; vcpu 1; region 0 0x200000 1; frames 0=0x200000 1=-; region 1 0x400000 1; frames 1=0x400000"
    ),
    "the first region with room, by index not by address": (
        "device; region 0 0x400000 1; region 1 0x200000 1; vcpu 0; vcpu 1; frames 0=0x400000 1=0x200000"
    ),
    "nobody when all are full": "device; region 0 0x200000 1; vcpu 0; vcpu 1; frames 0=0x200000 1=-",
    "an id in use costs its slot": (
        "device; region 0 0x200000 3; vcpu 0; vcpu 0 -> EEXIST; vcpu 1; frames 0=0x200000 1=0x240000"
    ),
    "so that one may be left without": (
        "device; region 0 0x200000 2; vcpu 0; vcpu 0 -> EEXIST; vcpu 1; frames 0=0x200000 1=-"
    ),
    "an id that cannot be costs nothing": (
        "device; region 0 0x200000 2; vcpu 512 -> EINVAL; vcpu 0; frames 0=0x200000"
    ),
    "a vCPU whose frame would lie over the distributor is not created": (
        "device; legacy 0x200000; vcpu 0; vcpu 1; dist 0x220000; vcpu 2 -> EINVAL; frames 0=0x200000 1=0x220000"
    ),
    "a vCPU too many is noticed late": (
        f"device; legacy {IPA - 0x40000:#x}; vcpu 0; vcpu 1; vcpu 2; vcpu 3 -> EINVAL; frames 2={IPA:#x}"
    ),
}


@pytest.mark.parametrize("story", PLACED.values(), ids=PLACED)
def test_placed(story: str) -> None:
    Story(story)


UNDONE: Final = {
    "a refused region is not there: its index is free": (
        "vcpu 0; device; dist 0x200000; region 0 0x200000 1 -> EINVAL; frames 0=-;"
        " region 0 0x400000 1; frames 0=0x400000"
    ),
    "nor are the placements it brought": (
        "vcpu 0; vcpu 1; device; dist 0x220000; region 0 0x200000 2 -> EINVAL; frames 0=- 1=-;"
        " region 0 0x400000 2; frames 0=0x400000 1=0x420000"
    ),
    "what was placed before stays": (
        "vcpu 0; vcpu 1; device; region 0 0x200000 1; dist 0x400000; region 1 0x400000 1 -> EINVAL;"
        " frames 0=0x200000 1=-; region 1 0x600000 1; frames 1=0x600000"
    ),
}


@pytest.mark.parametrize("story", UNDONE.values(), ids=UNDONE)
def test_undone(story: str) -> None:
    told = Story(story)
    frames = [vcpu.redist for vcpu in told.vm.vcpus]
    assert all(frame is not None and told.dist.bus.find(frame.base, 4) is frame for frame in frames)


def test_a_full_bus_undoes_the_region() -> None:
    story = Story("vcpu 0; vcpu 1; device")
    dist = story.dist
    frame = dist.frame
    assert frame is not None
    frame.base = 0x8000_0000
    for _ in range(999):
        dist.bus.register(frame)
    story.tell("legacy 0x200000 -> ENOSPC; frames 0=- 1=-")
    dist.bus.unregister(frame)
    story.tell("legacy 0x200000; frames 0=0x200000 1=0x220000")


LAST: Final = {
    "unplaced vCPUs are not last": (
        "device; vcpu 0; vcpu 3; vcpu 1; vcpu 2; init; typer 0 0x000; typer 3 0x300; typer 1 0x100; typer 2 0x200"
    ),
    "the last slot of each of two regions apart": (
        "device; vcpu 0; vcpu 3; vcpu 1; vcpu 2; init; region 0 0x200000 2;"
        " typer 0 0x000; typer 3 0x310; typer 1 0x100; typer 2 0x200;"
        " region 1 0x100000 10 -> EINVAL; region 1 0x20000 10; typer 1 0x100; typer 2 0x210"
    ),
    "a region that another with vCPUs continues has no last": (
        "device; vcpu 0; vcpu 3; vcpu 5; vcpu 4; vcpu 1; vcpu 2; region 0 0x100000 2; region 1 0x240000 2;"
        " region 2 0x200000 2; init; typer 0 0x000; typer 3 0x310; typer 5 0x500; typer 4 0x410; typer 1 0x100;"
        " typer 2 0x200"
    ),
    "one that an empty region continues has": (
        "device; vcpu 0; vcpu 1; region 0 0x100000 2; region 1 0x140000 2; init; typer 0 0x000; typer 1 0x110"
    ),
    "one that is not full has, whatever continues it": (
        "device; region 0 0x140000 1; region 1 0x100000 2; vcpu 0; vcpu 1; init; typer 0 0x010; typer 1 0x110"
    ),
    "a region of one slot that another continues has no last": (
        "device; region 0 0x100000 1; region 1 0x120000 1; vcpu 0; vcpu 1; init; typer 0 0x000; typer 1 0x110"
    ),
    "a legacy region has one: the last created": (
        "device; vcpu 0; vcpu 3; vcpu 5; vcpu 4; vcpu 1; vcpu 2; legacy 0x10000; init;"
        " typer 0 0x000; typer 3 0x300; typer 5 0x500; typer 4 0x400; typer 1 0x100; typer 2 0x210"
    ),
    "a slot lost to an id in use leaves a run without an end": (
        "device; region 0 0x100000 2; vcpu 0; vcpu 0 -> EEXIST; init; typer 0 0x000"
    ),
}


@pytest.mark.parametrize("story", LAST.values(), ids=LAST)
def test_last(story: str) -> None:
    Story(story)


GETS: Final = {
    "the base of the first region, before there is one": ("device", Addr.V3_REDIST, 0, (1 << 64) - 1),
    "the base of a legacy region": ("device; legacy 0x200000", Addr.V3_REDIST, 0, 0x200000),
    "the base of a region with a count": (
        "device; region 0 0x200000 2; region 1 0x400000 3", Addr.V3_REDIST, 0, 0x200000,
    ),
    "a region by index": (
        "device; region 0 0x200000 2; region 1 0x400000 3", Addr.V3_REDIST_REGION, 1, 3 << 52 | 0x400001,
    ),
    "a legacy region by index": ("device; legacy 0x200000", Addr.V3_REDIST_REGION, 0, 0x200000),
    "of the buffer the index alone counts": (
        "device; region 0 0x200000 2", Addr.V3_REDIST_REGION, 7 << 52 | 0x990F00, 2 << 52 | 0x200000,
    ),
    "and of the index 8 bits": ("device; region 0 0x200000 2", Addr.V3_REDIST_REGION, 0x100, 2 << 52 | 0x200000),
}  # fmt: skip


@pytest.mark.parametrize("row", GETS.values(), ids=GETS)
def test_get(row: tuple[str, int, int, int]) -> None:
    story, attr, buffer, want = row
    assert Story(story).device.get_attr(Group.ADDR, attr, buffer) == want


def test_a_region_that_does_not_exist_has_no_value() -> None:
    device = Story("device; region 0 0x200000 2").device
    assert outcome(device.get_attr, Group.ADDR, Addr.V3_REDIST_REGION, 1) == ENOENT


def test_a_refusal_shows_the_clash() -> None:
    device = Story("vcpu 0; device; dist 0x200000").device
    with pytest.raises(VgicError) as error:
        device.set_attr(Group.ADDR, Addr.V3_REDIST_REGION, 1 << 52 | 0x200000)
    clash = "redistributors 0x200000..0x220000 overlap the distributor at 0x200000"
    assert str(error.value) == f"EINVAL (Invalid argument): {clash}"


OVERLAPS: Final = {
    "apart": (0, 4, 8, 4, False),
    "touching": (0, 4, 4, 4, False),
    "by one": (0, 5, 4, 4, True),
    "the same": (4, 4, 4, 4, True),
    "inside": (0, 16, 4, 4, True),
    "nothing, at the start of something": (4, 0, 4, 4, False),
    "nothing, inside of something": (5, 0, 4, 4, True),
}


@pytest.mark.parametrize("row", OVERLAPS.values(), ids=OVERLAPS)
def test_overlaps(row: tuple[int, int, int, int, bool]) -> None:
    base, size, other_base, other_size, want = row
    assert overlaps(base, size, other_base, other_size) is overlaps(other_base, other_size, base, size) is want
