"""Random programs of guests and devices, after which explanations are asked for: whatever the GIC.

Room:    under test_explain_delivered and v2/test_explain, which say what their guests do.
"""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from vgic import Explanation, Vcpu, Vgic

Doing = tuple[str, int, int, int]
"""What is done, and where, how wide and what value as far as it has them."""

Step = tuple[str, int, int, int, int]
"""A doing, and after its name the vCPU."""


def programs(intids: Sequence[int], most: int, *accesses: st.SearchStrategy[Doing]) -> st.SearchStrategy[list[Step]]:
    """Return programs: accesses by guests, lines of `intids`, entries and exits."""
    vcpu = st.integers(0, 1)
    line = st.sampled_from([("inject", intid, 0, level) for intid in intids for level in (1, 1, 0)])
    move = st.sampled_from([("enter", 0, 0, 0), ("exit", 0, 0, 0), ("put", 0, 0, 0)])
    one = st.tuples(vcpu, st.one_of(*accesses, line, move))
    return st.lists(one.map(lambda step: (step[1][0], step[0], *step[1][1:])), max_size=most)


def run(vm: Vgic, program: list[Step], access: Callable[[Vcpu, str, int, int, int], object]) -> None:
    """Do each step; one that the guest does enters its vCPU first, and is done by `access`."""
    for what, index, where, size, value in program:
        vcpu = vm.vcpus[index]
        inside = vm.state()["vcpus"][index]["mode"] == "in guest"
        if what == "inject":
            vm.inject(where, bool(value), vcpu=vcpu if where < 32 else None)
            continue
        if what in ("exit", "put"):
            if inside:
                vcpu.exit()
            if what == "put":
                vcpu.put()
            continue
        if not inside:
            vcpu.enter()
        if what != "enter":
            access(vcpu, what, where, size, value)


def answers_that_change_nothing(vm: Vgic, intids: Sequence[int]) -> list[Explanation]:
    """Ask about every one of `intids` on every vCPU, and assert that all is as it was."""
    before = _everything(vm)
    answers = [vm.explain(intid, vcpu) for vcpu in vm.vcpus for intid in intids]
    assert all(map(str, answers))
    assert _everything(vm) == before
    return answers


def _everything(vm: Vgic) -> tuple[object, ...]:
    """Return all state there is, and every count."""
    pes = vm.host.machine.pes
    saved = [(v.vmcr, v.hcr, v.used_lrs, *v.ap0r, *v.ap1r) for v in vm.vcpus]
    return (vm.state(), saved, [pe.virt.snapshot() for pe in pes], [pe.cost.as_dict() for pe in pes])
