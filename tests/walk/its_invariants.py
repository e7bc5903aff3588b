"""What must hold of ITSs and LPIs: the numbered invariants of the specification's list, each a function.

Room:    beside its_pair; looks at the library's state, changes nothing.
Holds:   `at_rest` may be asserted whenever no call is in progress.

Of the list's transitions, 18 to 20 are asserted where its_pair issues commands, 21 to 25 are laws of its_steps.
"""

from collections import Counter
from collections.abc import Container
from typing import Final

from vgic.dist import Dist
from vgic.irq import Irq
from vgic.its.state import Its

VALID: Final = 1 << 63
INDIRECT: Final = 1 << 62
_ITS_FIELDS: Final = (10, 59, 53)
_GICR_FIELDS: Final = (10, 7, 56)

Fields = tuple[int | None, bool, int, bool, bool, int | None]


def fields(irq: Irq) -> Fields:
    """An LPI: target, enabled, priority, latch, active, listed."""
    target = None if irq.target is None else irq.target.index
    listed = None if irq.queued_on is None else irq.queued_on.index
    return target, irq.enabled, irq.priority, irq.pending_latch, irq.active, listed


def i1_queue_pointers_are_in_range(its: Its) -> None:
    for offset in (its.creadr, its.cwriter):
        assert 0 <= offset < its.queue_size, f"1: queue offset {offset:#x} of {its.queue_size:#x}"
        assert offset % 32 == 0, f"1: queue offset {offset:#x} is no command's"
    assert not its.cbaser & 0xF000, f"1: CBASER {its.cbaser:#x}"


def i2_enabled_implies_valid(its: Its) -> None:
    valid = its.device_table & its.collection_table & its.cbaser & VALID
    assert not its.enabled or valid, "2: enabled, with a table or queue that is not valid"


def i3_enabled_implies_drained(its: Its) -> None:
    assert not its.enabled or its.creadr == its.cwriter, "3: enabled, with commands left"


def i4_fixed_fields(its: Its) -> None:
    for baser, kind in ((its.device_table, 1), (its.collection_table, 4)):
        assert (baser >> 56 & 7, baser >> 48 & 0x1F, baser >> 8 & 3) == (kind, 7, 2), f"4: BASER {baser:#x}"
    assert not its.collection_table & INDIRECT, "4: a collection table in two levels"


def i5_attributes_are_supported(dist: Dist) -> None:
    registers = [
        (baser, _ITS_FIELDS)
        for its in dist.its_list
        for baser in (its.device_table, its.collection_table, its.cbaser)
        if baser  # CBASER is zero until it is written, and after a reset
    ]
    registers += [(baser, _GICR_FIELDS) for baser in (dist.propbaser, *(vcpu.pendbaser for vcpu in dist.vcpus))]
    for value, (share, inner, outer) in registers:
        assert value >> share & 3 != 2, f"5: Shareability of {value:#x}"
        assert value >> inner & 7 > 1, f"5: InnerCache of {value:#x}"
        assert value >> outer & 7 <= 1, f"5: OuterCache of {value:#x}"


def i6_ids_are_unique_and_names_right(dist: Dist) -> None:
    for its in dist.its_list:
        for devid, device in its.maps.devices.items():
            assert device.devid == devid, f"6: device {device.devid} is found as {devid}"
            eventids = list(device.eventids)
            assert eventids == sorted(set(eventids)), f"6: events of device {devid}: {eventids}"
            assert len(device.irqs) == len(device.collections) == len(eventids), f"6: columns of device {devid}"
        assert all(c.icid == n for n, c in its.maps.collections.items()), "6: a collection under another's id"
    lpis = list(dist.lpis.ascending())
    assert [irq.intid for irq in lpis] == sorted({irq.intid for irq in lpis}), "6: two LPI objects of one INTID"


def i7_events_refer_to_what_is_there(dist: Dist) -> None:
    for its in dist.its_list:
        for device in its.maps.devices.values():
            for ite in device.ites():
                assert dist.lpis.get(ite.irq.intid) is ite.irq, f"7: an event's LPI {ite.irq.intid} is gone"
                collection = ite.collection
                assert collection is None or its.maps.collections.get(collection.icid) is collection, (
                    f"7: event {ite.eventid} of device {device.devid} is in a collection that is gone"
                )


def i8_event_ids_fit(its: Its) -> None:
    for device in its.maps.devices.values():
        assert 1 <= device.bits <= 16, f"8: device {device.devid} has {device.bits} bits"
        assert all(0 <= n < 1 << device.bits for n in device.eventids), f"8: device {device.devid}: an event too far"


def i9_collections_go_to_vcpus(dist: Dist) -> None:
    for its in dist.its_list:
        for collection in its.maps.collections.values():
            target = collection.target
            assert target is None or dist.by_id.get(target.vcpu_id) is target, f"9: collection {collection.icid}"


def i10_collections_fit_their_table(its: Its) -> None:
    capacity = ((its.collection_table & 0xFF) + 1) * 8192
    assert len(its.maps.collections) <= capacity, "10: too many collections"
    assert all(0 <= icid < capacity for icid in its.maps.collections), "10: a collection past its table"


def i11_references_are_counted(dist: Dist) -> None:
    wanted = Counter(
        irq.intid
        for its in dist.its_list
        for irq in (
            *(irq for device in its.maps.devices.values() for irq in device.irqs),
            *its.maps.cache.values(),
        )
    )
    for irq in dist.lpis.ascending():
        expected = wanted[irq.intid] + (irq.queued_on is not None)
        assert irq.refs == expected > 0, f"11: LPI {irq.intid} has {irq.refs} references, and {expected} holders"


def i12_lists_and_lpis_agree(dist: Dist) -> None:
    listed = [irq for vcpu in dist.vcpus for irq in vcpu.ap_list]
    assert len(listed) == len({id(irq) for irq in listed}), "12: an interrupt is listed twice"
    for vcpu in dist.vcpus:
        for irq in vcpu.ap_list:
            assert irq.queued_on is vcpu, f"12: LPI {irq.intid} is listed on vCPU {vcpu.index}, thinks otherwise"
            assert irq.intid < 8192 or dist.lpis.get(irq.intid) is irq, f"12: dead LPI {irq.intid} is listed"
    queued = sum(irq.queued_on is not None for irq in dist.lpis.ascending())
    assert queued == sum(irq.intid >= 8192 for irq in listed), "12: an LPI thinks it is listed, and is not"


def i13_cached_translations_are_true(its: Its) -> None:
    for key, irq in its.maps.cache.items():
        devid, eventid = key >> 16, key & 0xFFFF
        assert devid <= 0xFFFF, f"13: cached device {devid:#x}"
        ite = its.maps.find(devid, eventid)
        assert ite is not None, f"13: event {eventid} of device {devid} is cached, and not mapped"
        assert ite.irq is irq, f"13: event {eventid} of device {devid} is cached wrongly"


def i14_disabled_implies_nothing_cached(its: Its) -> None:
    assert its.enabled or not its.maps.cache, "14: disabled, with cached translations"


def i15_without_lpis_nothing_is_cached(dist: Dist) -> None:
    if not any(vcpu.lpis_enabled for vcpu in dist.vcpus):
        assert not any(its.maps.cache for its in dist.its_list), "15: cached translations, and no vCPU takes LPIs"


def i16_lpis_are_edge_group_1(dist: Dist) -> None:
    for irq in dist.lpis.ascending():
        assert not irq.priority & 3, f"16: LPI {irq.intid} has priority {irq.priority:#x}"
        assert (irq.level, irq.group, irq.line_level, irq.hw) == (False, 1, False, False), f"16: LPI {irq.intid}"


def i17_deliverable_lpis_are_listed(dist: Dist, touched: Container[int]) -> None:
    """`touched`: INTIDs to which something that lists came last."""
    for irq in dist.lpis.ascending():
        if irq.intid in touched and irq.enabled and irq.pending_latch and irq.target is not None and dist.enabled:
            assert irq.queued_on is not None, f"17: LPI {irq.intid} is deliverable, and on no list"


OF_ONE_ITS: Final = (
    i1_queue_pointers_are_in_range,
    i2_enabled_implies_valid,
    i3_enabled_implies_drained,
    i4_fixed_fields,
    i8_event_ids_fit,
    i10_collections_fit_their_table,
    i13_cached_translations_are_true,
    i14_disabled_implies_nothing_cached,
)
OF_THE_VM: Final = (
    i5_attributes_are_supported,
    i6_ids_are_unique_and_names_right,
    i7_events_refer_to_what_is_there,
    i9_collections_go_to_vcpus,
    i11_references_are_counted,
    i12_lists_and_lpis_agree,
    i15_without_lpis_nothing_is_cached,
    i16_lpis_are_edge_group_1,
)


def at_rest(dist: Dist, touched: Container[int] = ()) -> None:
    """All of them."""
    for its in dist.its_list:
        for rule in OF_ONE_ITS:
            rule(its)
    for law in OF_THE_VM:
        law(dist)
    i17_deliverable_lpis_are_listed(dist, touched)
