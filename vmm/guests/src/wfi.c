// WFI: every CPU asleep, woken in turn by an SGI, an SPI and its timer, with interrupts on and masked.
#include "gic.h"
#include "rt.h"
#include "timer.h"

#define SGI 3
#define SPI 40

enum { BY_SGI, BY_SPI, BY_TIMER, WAYS };
static const char *const ways[] = {"SGI", "SPI", "timer"};
static const u32 intids[] = {SGI, SPI, TIMER_VIRT};

static u32 asleep[MAX_CPUS];        // about to sleep: set by the sleeper
static u32 seen[MAX_CPUS];          // masked: what HPPIR showed after WFI

static void handle(u32 iar)
{
    if (gic_intid(iar) == TIMER_VIRT)
        virt_stop();
    irq_log(iar);
    gic_eoi(iar);
}

static void prepare(u64 way)
{
    if (way != BY_TIMER)
        return;
    gic_enable(TIMER_VIRT);
    virt_arm(us_to_ticks(500));
}

static void sleep_unmasked(u64 way)
{
    struct cpu *me = self();

    prepare(way);
    store(&asleep[me->index], 1);
    while (!me->logged) {
        wfi();
        irq_enable();
        irq_disable();
    }
    store(&asleep[me->index], 0);
}

static void sleep_masked(u64 way)
{
    struct cpu *me = self();

    prepare(way);
    store(&asleep[me->index], 1);
    do
        wfi();
    while (gic_hppir() == SPURIOUS);
    seen[me->index] = me->logged ? 0 : gic_hppir();
    settle();
    store(&asleep[me->index], 0);
}

static void wake(u32 way, u32 cpu)
{
    if (way == BY_SGI)
        gic_sgi(SGI, cpu);
    else if (way == BY_SPI)
        gic_pend(SPI);
}

static void test_others(u32 way, bool masked)
{
    u32 good = 0, n = machine.cpus;

    forget();
    for (u32 i = 1; i < n; i++) {
        start(i, masked ? sleep_masked : sleep_unmasked, way);
        wait_until(load(&asleep[i]) || (way == BY_TIMER && count(i, intids[way])));
    }
    delay_us(50);                   // all of them are in WFI by now
    for (u32 i = 1; i < n; i++) {
        gic_route(SPI, i);
        wake(way, i);
        good += finished(i) && count(i, intids[way]) == 1 && cpus[i]->logged == 1 && (!masked || seen[i] == intids[way]);
    }
    report(good == n - 1, "%s: %u of %u sleepers woken in turn, interrupts %s", ways[way], good, n - 1,
           masked ? "masked" : "on");
}

// CPU 0 sleeps; its timer, or the last CPU, wakes it.
static void wake_cpu0(u64 way)
{
    delay_us(100);
    wake(way, 0);
}

static void test_self(u32 way, bool masked)
{
    bool ok = true;

    if (way != BY_TIMER && machine.cpus < 2)
        return skip("%s: needs 2 CPUs", ways[way]);
    forget();
    gic_route(SPI, 0);
    if (way != BY_TIMER)
        start(machine.cpus - 1, wake_cpu0, way);
    (masked ? sleep_masked : sleep_unmasked)(way);
    if (way != BY_TIMER)
        ok = finished(machine.cpus - 1);
    report(ok && count(0, intids[way]) == 1 && (!masked || seen[0] == intids[way]), "%s: CPU 0 woken, interrupts %s",
           ways[way], masked ? "masked" : "on");
}

static void test_pending_before(void)
{
    forget();
    gic_route(SPI, 0);
    gic_pend(SPI);
    wfi();                          // must not sleep
    report(gic_hppir() == SPI, "pending before WFI: no sleep");
    settle();
    report(count(0, SPI) == 1, "pending before WFI: comes once");
}

static void test_not_by_disabled(void)
{
    u64 end;

    forget();
    gic_disable(SPI);
    gic_pend(SPI);                  // wakes nobody
    gic_enable(TIMER_VIRT);
    virt_arm(us_to_ticks(300));
    end = sysreg_read(cntv_cval_el0);
    while (gic_hppir() == SPURIOUS)
        wfi();
    report(now() >= end && gic_hppir() == TIMER_VIRT, "disabled: only the timer ends the sleep");
    settle();
    gic_enable(SPI);
    settle();
    report(count(0, SPI) == 1 && count(0, TIMER_VIRT) == 1, "disabled: comes when enabled");
}

int guest(void)
{
    prefix("wfi");
    boot_cpus();
    on_irq = handle;
    gic_enable(SPI);
    for (u32 way = 0; way < WAYS; way++)
        for (u32 masked = 0; masked < 2; masked++) {
            if (machine.cpus > 1)
                test_others(way, masked);
            test_self(way, masked);
        }
    test_pending_before();
    test_not_by_disabled();
    return summary();
}
