"""A VM worth saving, and a snapshot's text taken apart.

Room:    under test_state and test_state_refused.
"""

import hashlib
import json

import pytest

from hw import Machine
from tests.unit.vgic.its.rig import (
    ENABLED,
    GICR_CTLR,
    GICR_PENDBASER,
    ITTS,
    PTZ,
    ItsRig,
    discard,
    mapc,
    mapd,
    mapti,
    movall,
)
from vgic import Host, PinRoute, Snapshot, StateError, Vgic
from vgic.snapshot.forms import Json

Tree = dict[str, Json]


def busy_rig() -> ItsRig:
    """A VM with something of everything: LPIs pending, listed, moved, orphaned, cached; PTZ; a route."""
    rig = ItsRig(2)
    for n in range(6):
        rig.configure(8192 + n, ENABLED)
    for vcpu in rig.vcpus:
        vcpu.enter()
        vcpu.exit()
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(GICR_PENDBASER, PTZ | 0x8007_0000, 1)
    rig.do(mapd(2), mapd(7, 4, ITTS + 0x8_0000), mapc(0, 0), mapc(1, 1), mapc(2, 1))
    rig.do(mapti(2, 0, 8192, 0), mapti(2, 5, 8193, 1), mapti(7, 3, 8194, 0), mapti(7, 4, 8195, 9), mapti(2, 6, 8196, 2))
    rig.do(mapc(2, 0, valid=False), movall(0, 1))
    assert rig.msi(7, 3) == 1
    rig.do(discard(7, 3))  # its LPI lives on in the list of vCPU 1
    assert rig.msi(2, 0) == 1
    rig.dist.spis[8].enabled = True
    rig.vm.inject(40)
    rig.vcpus[1].map_irq(27, 27, lambda intid: True)
    rig.vcpus[1].set_owner(27, "timer")
    rig.vcpus[1].private[27].active = True
    rig.vm.set_gsi_routing([PinRoute(3, 8)])
    return rig


def tree_of(snapshot: Snapshot) -> Tree:
    tree: Tree = json.loads(snapshot.to_json())
    return tree


def sealed(tree: Tree) -> str:
    """The text of a tree, its checksum made right."""
    text = json.dumps(tree["state"], sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**tree, "checksum": "sha256:" + hashlib.sha256(text).hexdigest()})


def empty_like(rig: ItsRig) -> Vgic:
    return Vgic(Host(Machine(cpus=len(rig.vcpus))), threads=False, memory=rig.memory)


def refused(snapshot_text: str | bytes) -> StateError:
    with pytest.raises(StateError) as raised:
        Snapshot.from_json(snapshot_text)
    assert raised.value.where, "an error says where"
    return raised.value
