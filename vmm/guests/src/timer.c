// Timer PPIs: condition, mask, line, wake-up, ticks on every CPU.
#include "timer.h"
#include "gic.h"
#include "rt.h"

#define TICKS 8
#define PERIOD_US 200

struct timer {
    const char *name;
    u32 intid;
    void (*ctl_set)(u64);
    u64 (*ctl)(void);
    void (*cval_set)(u64);
    u64 (*cval)(void);
    void (*tval_set)(u64);
    u64 (*tval)(void);
    u64 (*counter)(void);
};

#define ACCESSORS(name, reg) \
    static void name##_set(u64 v) { sysreg_write(reg, v); } \
    static u64 name(void) { isb(); return sysreg_read(reg); }
ACCESSORS(virt_ctl, cntv_ctl_el0)
ACCESSORS(virt_cval, cntv_cval_el0)
ACCESSORS(virt_tval, cntv_tval_el0)
ACCESSORS(phys_ctl, cntp_ctl_el0)
ACCESSORS(phys_cval, cntp_cval_el0)
ACCESSORS(phys_tval, cntp_tval_el0)
static u64 virt_counter(void) { return now(); }
static u64 phys_counter(void) { isb(); return sysreg_read(cntpct_el0); }

static const struct timer timers[] = {
    {"virtual", TIMER_VIRT, virt_ctl_set, virt_ctl, virt_cval_set, virt_cval, virt_tval_set, virt_tval, virt_counter},
    {"physical", TIMER_PHYS, phys_ctl_set, phys_ctl, phys_cval_set, phys_cval, phys_tval_set, phys_tval, phys_counter},
};
static const struct timer *t;       // under test

static void stop_first(u32 iar)     // count, stop the timer, end
{
    irq_log(iar);
    t->ctl_set(0);
    gic_eoi(iar);
}

static u32 wanted;

static void stop_later(u32 iar)     // leave the line high until it came `wanted` times
{
    irq_log(iar);
    if (count(0, t->intid) >= wanted)
        t->ctl_set(TIMER_ENABLE | TIMER_IMASK);
    gic_eoi(iar);
}

static void test_registers(void)
{
    u64 a = t->counter(), b = t->counter();

    report(b >= a && sysreg_read(cntfrq_el0) > 1000000, "%s: counter runs", t->name);
    t->cval_set(~0ul >> 1);
    t->ctl_set(TIMER_ENABLE);
    report(t->ctl() == TIMER_ENABLE, "%s: not met, ISTATUS clear", t->name);
    t->cval_set(0);
    report(t->ctl() == (TIMER_ENABLE | TIMER_ISTATUS), "%s: met, ISTATUS set", t->name);
    report((int)t->tval() < 0, "%s: TVAL is negative afterwards", t->name);
    t->tval_set(1000000);
    a = t->cval() - t->counter();
    report(a <= 1000000 && a > 0, "%s: TVAL sets CVAL", t->name);
    t->ctl_set(0);
}

static void test_line(void)
{
    gic_disable(t->intid);
    t->cval_set(0);
    t->ctl_set(TIMER_ENABLE);
    report(gic_pending(t->intid), "%s: line high, pending in the GIC", t->name);
    t->ctl_set(TIMER_ENABLE | TIMER_IMASK);
    report(t->ctl() & TIMER_ISTATUS && !gic_pending(t->intid), "%s: IMASK lowers the line, not ISTATUS", t->name);
    t->ctl_set(TIMER_ENABLE);
    report(gic_pending(t->intid), "%s: IMASK cleared, high again", t->name);
    t->cval_set(~0ul >> 1);
    report(!gic_pending(t->intid), "%s: new CVAL lowers the line", t->name);
    t->ctl_set(0);
}

static void test_interrupts(void)
{
    forget();
    gic_enable(t->intid);
    settle();
    report(!count(0, t->intid), "%s: off, nothing comes", t->name);

    on_irq = stop_first;
    t->cval_set(0);
    t->ctl_set(TIMER_ENABLE);
    settle();
    report(count(0, t->intid) == 1, "%s: stopped by its handler, comes once", t->name);

    forget();
    on_irq = stop_later;
    wanted = 3;
    t->ctl_set(TIMER_ENABLE);
    settle();
    report(count(0, t->intid) == 3, "%s: left alone, comes again until stopped", t->name);
    t->ctl_set(0);
}

static void test_sleep(void)
{
    u64 wait = us_to_ticks(1000), set, woken;

    forget();
    on_irq = stop_first;
    set = t->counter();
    t->cval_set(set + wait);
    t->ctl_set(TIMER_ENABLE);
    while (!count(0, t->intid)) {
        wfi();
        irq_enable();
        irq_disable();
    }
    woken = t->counter();
    report(woken - set >= wait, "%s: wakes from WFI, not early", t->name);
    report(count(0, t->intid) == 1, "%s: wakes once", t->name);

    forget();
    t->tval_set(wait);
    t->ctl_set(TIMER_ENABLE);
    do
        wfi();
    while (!(t->ctl() & TIMER_ISTATUS));
    report(!count(0, t->intid) && gic_hppir() == t->intid, "%s: wakes with interrupts masked, still pending", t->name);
    settle();
    report(count(0, t->intid) == 1, "%s: and comes when they are unmasked", t->name);
    on_irq = irq_default;
}

static void tick(u32 iar)
{
    irq_log(iar);
    if (self()->count[slot(t->intid)] < TICKS)
        t->cval_set(t->cval() + us_to_ticks(PERIOD_US));
    else
        t->ctl_set(0);
    gic_eoi(iar);
}

static void tick_for_a_while(u64 unused)
{
    (void)unused;
    gic_enable(t->intid);
    t->cval_set(t->counter() + us_to_ticks(PERIOD_US));
    t->ctl_set(TIMER_ENABLE);
    while (self()->count[slot(t->intid)] < TICKS) {
        wfi();
        irq_enable();
        irq_disable();
    }
    gic_disable(t->intid);
}

static void test_ticks(void)
{
    u64 begun = t->counter();
    bool exact = true;

    forget();
    on_irq = tick;
    for (u32 i = 1; i < machine.cpus; i++)
        start(i, tick_for_a_while, 0);
    tick_for_a_while(0);
    for (u32 i = 1; i < machine.cpus; i++)
        exact &= finished(i);
    for (u32 i = 0; i < machine.cpus; i++)
        exact &= count(i, t->intid) == TICKS;
    on_irq = irq_default;
    report(exact, "%s: %u ticks on each of %u CPUs", t->name, TICKS, machine.cpus);
    report(t->counter() - begun >= us_to_ticks(PERIOD_US) * TICKS, "%s: ticks take their time", t->name);
}

static bool both_order;

static void both(u32 iar)
{
    irq_log(iar);
    if (gic_intid(iar) == TIMER_VIRT)
        virt_ctl_set(0);
    else
        phys_ctl_set(0);
    both_order |= gic_intid(iar) == TIMER_PHYS && !count(0, TIMER_VIRT);
    gic_eoi(iar);
}

static void test_both(void)
{
    forget();
    on_irq = both;
    gic_priority(TIMER_PHYS, 0x40);
    gic_enable(TIMER_VIRT);
    gic_enable(TIMER_PHYS);
    virt_cval_set(0);
    phys_cval_set(0);
    virt_ctl_set(TIMER_ENABLE);
    phys_ctl_set(TIMER_ENABLE);
    settle();
    on_irq = irq_default;
    report(count(0, TIMER_VIRT) == 1 && count(0, TIMER_PHYS) == 1 && both_order, "both: the higher priority first");
    gic_priority(TIMER_PHYS, PRIORITY);
}

int guest(void)
{
    prefix("timer");
    boot_cpus();
    for (t = timers; t < timers + LEN(timers); t++) {
        test_registers();
        test_line();
        test_interrupts();
        test_sleep();
        test_ticks();
    }
    test_both();
    return summary();
}
