// LPIs through the ITS that the guest itself programs.
#include "gic.h"
#include "its.h"
#include "rt.h"

#define DEV 3
#define OTHER_DEV 0x11
#define EVENTS 32
#define LPI(event) (FIRST_LPI + (event))

enum { MSI_DEVID = 0x00, MSI_EVENTID = 0x04, MSI_DOORBELL_LO = 0x08, MSI_DOORBELL_HI = 0x0c, MSI_SEND = 0x10,
       MSI_SENT = 0x14, MSI_RESULT = 0x18 };

static u32 n;               // CPUs that take part

// A device's MSI where the board has one, else the INT command.
static int send(u32 devid, u32 eventid)
{
    u64 doorbell = machine.its + 0x10040;

    if (!machine.msi) {
        its_int(devid, eventid);
        return 1;
    }
    wr32(machine.msi + MSI_DEVID, devid);
    wr32(machine.msi + MSI_EVENTID, eventid);
    wr32(machine.msi + MSI_DOORBELL_LO, doorbell);
    wr32(machine.msi + MSI_DOORBELL_HI, doorbell >> 32);
    wr32(machine.msi + MSI_SEND, 1);
    return rd32(machine.msi + MSI_RESULT);
}

static u32 got(u32 event)   // on every CPU
{
    u32 sum = 0;

    for (u32 i = 0; i < machine.cpus; i++)
        sum += count(i, LPI(event));
    return sum;
}

static bool comes(u32 cpu, u32 event)
{
    bool ok = wait_until(got(event));

    return ok && got(event) == 1 && count(cpu, LPI(event)) == 1;
}

static void set(u32 event, u32 priority, bool enabled)
{
    lpi_configure(LPI(event), priority, enabled);
    its_inv(DEV, event);
}

static u32 mapped;          // events of DEV, by bit: mapping one again is UNPREDICTABLE

static void discard(u32 event)
{
    its_discard(DEV, event);
    mapped &= ~(1u << event);
}

static void fresh(u32 event, u32 cpu, bool enabled)     // mapped to that CPU, idle, forgotten
{
    if (mapped >> event & 1)
        discard(event);
    mapped |= 1u << event;
    its_mapti(DEV, event, LPI(event), cpu);
    set(event, PRIORITY, enabled);
    its_clear(DEV, event);
    forget();
}

static void test_delivery(void)
{
    bool ints = true, msis = true;

    its_mapd(DEV, 5, true);
    for (u32 i = 0; i < EVENTS; i++) {
        its_mapti(DEV, i, LPI(i), i % n);
        lpi_configure(LPI(i), PRIORITY, true);
    }
    mapped = ~0u;
    for (u32 i = 0; i < n; i++)
        its_invall(i);
    for (u32 i = 0; i < EVENTS; i++) {
        forget();
        its_int(DEV, i);
        ints &= comes(i % n, i);
    }
    report(ints, "INT: %u events on %u CPUs, each where it is mapped", EVENTS, n);
    if (!machine.msi)
        return skip("MSI: no device on this board sends one");
    for (u32 i = 0; i < EVENTS; i++) {
        forget();
        msis &= send(DEV, i) == 1 && comes(i % n, i);
    }
    report(msis, "MSI: a device's messages, %u events on %u CPUs", EVENTS, n);
    report(rd32(machine.msi + MSI_SENT) == EVENTS, "MSI: the device counts what it sent");
    forget();
    report(send(OTHER_DEV, 0) <= 0 && (settle(), !got(0)), "MSI: of a device that is not mapped, is lost");
    report(send(DEV, EVENTS) <= 0, "MSI: of an event beyond the device's table, is lost");
}

static void test_priority(void)
{
    static const u16 order[] = {LPI(2), LPI(0), LPI(3), LPI(1)};
    static const u8 priorities[] = {0x60, 0xc0, 0x20, 0x80};

    for (u32 i = 0; i < 4; i++) {
        fresh(i, 0, true);
        set(i, priorities[i], true);
    }
    gic_pmr(0x18);                          // not yet: commands wait with interrupts on
    for (u32 i = 0; i < 4; i++)
        send(DEV, i);
    send(DEV, 2);
    gic_pmr(PMR_ALL);
    settle();
    report(in_order(0, order, LEN(order)), "priority: four at once come highest first, a repeated one once");
}

static void test_disabled(void)
{
    fresh(4, 0, false);
    send(DEV, 4);
    settle();
    report(!got(4), "disabled: does not come");
    set(4, PRIORITY, true);
    report(comes(0, 4), "disabled: stays pending, comes after INV");

    fresh(5, 0, false);
    send(DEV, 5);
    lpi_configure(LPI(5), PRIORITY, true);
    its_invall(0);
    report(comes(0, 5), "disabled: comes after INVALL");

    fresh(6, 0, false);
    send(DEV, 6);
    its_clear(DEV, 6);
    set(6, PRIORITY, true);
    settle();
    report(!got(6), "CLEAR: takes it back");
}

static void test_discard(void)
{
    fresh(7, 0, true);
    discard(7);
    send(DEV, 7);
    settle();
    report(!got(7) && its_idle(), "DISCARD: no event, no interrupt");
    fresh(7, 0, true);
    send(DEV, 7);
    report(comes(0, 7), "DISCARD: mapped again, it comes");
}

static void test_moves(void)
{
    u32 last = n - 1;

    if (n < 2) {
        skip("MOVI: needs 2 CPUs");
        return skip("MOVALL: needs 2 CPUs");
    }
    fresh(8, 0, true);
    its_movi(DEV, 8, last);
    send(DEV, 8);
    report(comes(last, 8), "MOVI: the next one goes to CPU %u", last);

    fresh(9, 0, false);
    send(DEV, 9);
    its_movi(DEV, 9, last);
    set(9, PRIORITY, true);
    report(comes(last, 9), "MOVI: takes a pending one along");

    fresh(10, last, false);
    fresh(11, last, false);
    send(DEV, 10);
    send(DEV, 11);
    its_movall(last, 0);
    its_mapc(last, 0, true);
    its_sync(0);
    lpi_configure(LPI(10), PRIORITY, true);
    lpi_configure(LPI(11), PRIORITY, true);
    its_invall(last);
    report(comes(0, 10) && comes(0, 11), "MOVALL: takes all that is pending along");
    send(DEV, 10);
    report(wait_until(count(0, LPI(10)) == 2), "MAPC: the collection moved, too");
    its_mapc(last, last, true);
}

static void test_queue(void)
{
    u32 commands = its_queue_slots() + its_queue_slots() / 2;
    bool ok = true;

    fresh(12, n - 1, true);
    for (u32 i = 0; i < commands && ok; i++) {
        its_inv(DEV, 12);
        ok = its_idle();
    }
    its_int(DEV, 12);
    report(ok && comes(n - 1, 12), "queue: wraps after %u slots", its_queue_slots());
}

static void test_unmap(void)
{
    fresh(13, 0, true);
    its_mapd(DEV, 5, false);
    mapped = 0;
    send(DEV, 13);
    settle();
    report(!got(13) && its_idle(), "MAPD: unmapped, its events are gone");
    its_mapd(OTHER_DEV, 5, true);
    its_mapti(OTHER_DEV, 1, LPI(14), 0);
    lpi_configure(LPI(14), PRIORITY, true);
    its_invall(0);
    forget();
    send(OTHER_DEV, 1);
    report(comes(0, 14), "MAPD: another device, event and LPI of different numbers");
}

static void test_sleeper(void)
{
    u32 last = n - 1;
    bool ok = true;

    its_mapd(DEV, 5, true);
    fresh(15, last, true);
    for (u32 i = 1; i <= 8 && ok; i++) {
        send(DEV, 15);
        ok = wait_until(count(last, LPI(15)) == i);
    }
    report(ok, "sleeper: woken eight times");
}

int guest(void)
{
    prefix("lpi");
    if (!machine.its) {
        skip("no ITS");
        return summary();
    }
    boot_cpus();
    its_init();
    n = machine.cpus < 16 ? machine.cpus : 16;
    report(its_idle(), "ITS: takes commands");
    test_delivery();
    test_priority();
    test_disabled();
    test_discard();
    test_moves();
    test_queue();
    test_unmap();
    test_sleeper();
    return summary();
}
