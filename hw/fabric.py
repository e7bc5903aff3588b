"""What all redistributors and ITSs of a machine share: memory, its owners, the log of misuse, doorbells, time.

Room:    below redistributors, vPEs and ITSs.
Owns:    which physical LPIs are default doorbells, and their configuration as the GIC last read it.
Never:   delivers anything.
Holds:   an LPI is in `doorbells` as long as some mapped vPE has it for default doorbell.
"""

from random import Random
from typing import final

from hw.arch4 import NO_DOORBELL
from hw.config import CacheMode, PhysConfig
from hw.config4 import V4Config
from hw.cost import Traffic
from hw.memory import Memory
from hw.misuse import MisuseLog
from hw.owned import Owned
from hw.trace import Tracer


@final
class Doorbell:
    """A physical LPI that is the default doorbell of some vPE.

    Its configuration byte is cached for all redistributors at once, and read again by INVDB alone.
    """

    __slots__ = ("byte", "intid", "users")

    def __init__(self, intid: int, byte: int) -> None:
        """One vPE uses it; `byte` is what the configuration table said when that was mapped."""
        self.intid = intid
        self.byte = byte
        self.users = 1


@final
class Fabric:
    """One machine's; `v4` is None on a GICv3."""

    __slots__ = ("cost", "doorbells", "memory", "misuse", "now", "owned", "phys", "random", "trace", "v4")

    def __init__(self, memory: Memory, phys: PhysConfig, v4: V4Config | None, strict: bool) -> None:
        """Nothing shared yet.  The memory asks `owned` about accesses of software from now on."""
        self.memory = memory
        self.phys = phys
        self.v4 = v4
        self.misuse = MisuseLog(strict)
        self.owned = Owned(self.misuse)
        self.cost = Traffic()  # of redistributors; each ITS has its own
        self.doorbells: dict[int, Doorbell] = {}  # by INTID
        self.now = 0  # cycles, see Machine.tick
        self.random = Random(phys.cache_seed) if phys.cache is CacheMode.RANDOM else None
        self.trace: Tracer | None = None
        memory.owner = self.owned

    @property
    def volatile(self) -> bool:
        """Whether configuration bytes may be read again without an invalidation."""
        return self.phys.cache is not CacheMode.STICKY

    def forgets(self) -> bool:
        """Whether to read a cached configuration byte again, at this evaluation."""
        return self.phys.cache is CacheMode.NONE or (self.random is not None and self.random.random() < 0.5)

    def add_doorbell(self, intid: int, byte: int) -> None:
        """A vPE is mapped with that default doorbell."""
        if intid == NO_DOORBELL:
            return
        doorbell = self.doorbells.get(intid)
        if doorbell is None:
            self.doorbells[intid] = Doorbell(intid, byte)
        else:
            self.misuse.report("M-21", f"LPI {intid} is the default doorbell of another vPE")
            doorbell.users += 1
            doorbell.byte = byte

    def drop_doorbell(self, intid: int) -> None:
        """A vPE no longer has that default doorbell."""
        doorbell = self.doorbells.get(intid)
        if doorbell is not None:
            doorbell.users -= 1
            if not doorbell.users:
                del self.doorbells[intid]
