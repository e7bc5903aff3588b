"""What the GIC does by itself can be watched, in a log that does not grow without bound."""

from hw import TraceLog
from hw import arch4 as a
from tests.unit.hw.rig4 import V1, Rig4, mapti, of_event


def test_events_of_translation_and_of_what_is_withdrawn() -> None:
    rig = Rig4()
    rig.map()
    rig.send(mapti(0, 1, 8300, 1))
    rig.machine.trace = log = TraceLog()
    rig.res()
    for event in range(3):
        rig.msi(event)
    rig.send(of_event(a.CLEAR, 0, 0))
    rig.res(1, 9)
    assert [event for event in log.events if event[0] not in ("resid", "its_cmd")] == [
        ("xlate", 0, 0, 0, "vlpi"),
        ("vint_pend", 0, V1),
        ("cache_fill", 0, V1, 0xA3),
        ("offer", 0, 0, V1, 0xA0, 1),
        ("xlate", 0, 0, 1, "lpi"),
        ("lpi_pend", 1, 8300),
        ("xlate", 0, 0, 2, "dropped"),
        ("vint_clear", 0, V1),
        ("withdraw", 0),
        ("misuse", "M-01", "GICR1+0x20078 = 0x8c00000000000009", "vPE 9"),
    ]
    rig.machine.trace = None
    rig.msi()
    assert log.named("xlate")[-1][-1] == "dropped"


def test_the_log_is_bounded() -> None:
    log = TraceLog(limit=10)
    for n in range(1000):
        log.event("offer", n)
    assert len(log.events) <= 10
    assert log.events[-1] == ("offer", 999)
