"""The VGIC device an embedder configures: attributes by group and number, as KVM_{SET,GET,HAS}_DEVICE_ATTR.

Room:    above the attribute groups, below vm.
"""

from typing import Final, final

from vgic.attrgroups import AttrGroup
from vgic.dist import Dist
from vgic.errors import EINVAL, ConfigError, DeadVmError
from vgic.lock import Lock
from vgic.ranges import ADDRESS_SPACE

_NO_GROUP: Final = AttrGroup()


@final
class Device:
    """The handle KVM_CREATE_DEVICE returns for a VGIC."""

    __slots__ = ("_dist", "_groups", "_lock")

    def __init__(self, dist: Dist, groups: dict[int, AttrGroup], lock: Lock) -> None:
        """Build the handle; embedders get one from `Vgic.create_device`."""
        self._dist = dist
        self._groups = groups
        self._lock = lock

    def set_attr(self, group: int, attr: int, value: int = 0) -> None:
        """KVM_SET_DEVICE_ATTR.  `value` is unsigned, up to 64 bits.

        Errors: ENXIO for an unknown group or attribute; EINVAL for a value that does not fit; the attribute's.
        """
        self._check_value(value)
        with self._lock:
            self._group(group).set(self._dist, attr, value)

    def get_attr(self, group: int, attr: int, value: int = 0) -> int:
        """KVM_GET_DEVICE_ATTR: return the value.  `value` is what the buffer holds before the call.

        Errors: as `set_attr`.
        """
        self._check_value(value)
        with self._lock:
            return self._group(group).get(self._dist, attr, value)

    def check_attr(self, group: int, attr: int) -> None:
        """KVM_HAS_DEVICE_ATTR: return if the attribute exists.  Errors: ENXIO, EINVAL."""
        with self._lock:
            self._group(group).check(self._dist, attr)

    def has_attr(self, group: int, attr: int) -> bool:
        """Whether `check_attr` would return."""
        try:
            self.check_attr(group, attr)
        except ConfigError:
            return False
        return True

    def _group(self, group: int) -> AttrGroup:
        if self._dist.dead:
            raise DeadVmError
        return self._groups.get(group, _NO_GROUP)

    @staticmethod
    def _check_value(value: int) -> None:
        if not 0 <= value < ADDRESS_SPACE:
            raise ConfigError(EINVAL, f"attribute value {value:#x} is not an unsigned 64-bit number")
