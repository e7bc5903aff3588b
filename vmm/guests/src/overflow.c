// More interrupts than list registers: pending, active, and both, each exactly once and in order of priority.
// With `strict` also more active ones than list registers, which KVM (Linux 6.12) does not master.
#include "gic.h"
#include "rt.h"

#define FIRST 40
#define SPIS 40
#define SGIS 15

static u32 iars[SPIS + SGIS], held;
static u32 last_priority;
static bool ordered;

static u32 priority_of(u32 intid) { return intid < 16 ? 0x10 + 8 * (intid % 5) : 8 * (1 + intid * 7 % 30); }

static void prepare(void)
{
    forget();
    for (u32 i = FIRST; i < FIRST + SPIS; i++) {
        gic_edge(i, i % 2);
        gic_priority(i, priority_of(i));
        gic_enable(i);
    }
    for (u32 i = 0; i < SGIS; i++)
        gic_priority(i, priority_of(i));
    last_priority = held = 0;
    ordered = true;
}

static void pend_all(void)
{
    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        gic_pend(i);
    for (u32 i = 0; i < SGIS; i++)
        gic_sgi(i, 0);
}

static bool each_once(void)
{
    bool ok = cpus[0]->logged == SPIS + SGIS;

    for (u32 i = 0; i < SGIS; i++)
        ok &= count(0, i) == 1;
    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        ok &= count(0, i) == 1;
    return ok;
}

static bool all_idle(void)
{
    u32 busy = 0;

    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        busy += gic_pending(i) || gic_active(i);
    return !busy;
}

static void in_turn(u32 iar)
{
    u32 priority = priority_of(gic_intid(iar));

    irq_log(iar);
    ordered &= priority >= last_priority;
    last_priority = priority;
    gic_eoi(iar);
}

static void test_pending(void)
{
    prepare();
    pend_all();
    on_irq = in_turn;
    settle();
    report(each_once(), "pending: %u at once, each comes once", SPIS + SGIS);
    report(ordered, "pending: in order of priority");
    report(all_idle(), "pending: nothing is left");
}

static void keep(u32 iar)
{
    irq_log(iar);
    iars[held++] = iar;
    gic_eoi(iar);
}

static u32 actives(void)
{
    u32 n = 0;

    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        n += gic_active(i);
    return n;
}

static void test_active(void)
{
    prepare();
    gic_eoi_mode(1);
    on_irq = keep;
    pend_all();
    settle();
    report(each_once() && actives() == SPIS, "active: all %u at once", SPIS + SGIS);
    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        gic_pend(i);
    settle();
    report(each_once(), "active: pended again, none comes while active");
    for (u32 i = 0; i < SPIS + SGIS; i += 2)        // oldest first, then the others newest first
        gic_dir(iars[i]);
    settle();
    for (u32 i = SPIS + SGIS; i-- > 0;)
        if (i % 2)
            gic_dir(iars[i]);
    settle();
    report(held == 2 * SPIS + SGIS, "active: each that was pended again comes after its DIR");
    for (u32 i = SPIS + SGIS; i < held; i++)
        gic_dir(iars[i]);
    report(all_idle(), "active: nothing is left");
    gic_eoi_mode(0);
}

static void keep_first(u32 iar)
{
    irq_log(iar);
    gic_eoi(iar);
    if (held++)
        gic_dir(iar);
    else
        iars[0] = iar;
}

static void test_one_active(void)
{
    prepare();
    gic_eoi_mode(1);
    on_irq = keep_first;
    gic_pend(FIRST);
    settle();
    report(gic_active(FIRST), "one active: priority dropped, not deactivated");
    for (u32 i = FIRST + 1; i < FIRST + SPIS; i++)
        gic_pend(i);
    for (u32 i = 0; i < SGIS; i++)
        gic_sgi(i, 0);
    settle();
    report(each_once(), "one active: the other %u come", SPIS + SGIS - 1);
    gic_dir(iars[0]);
    report(all_idle(), "one active: nothing is left");
    gic_eoi_mode(0);
}

static u32 depth, deepest, levels;

static void nest(u32 iar)
{
    irq_log(iar);
    deepest = ++depth > deepest ? depth : deepest;
    if (depth < levels && self()->logged < SPIS)
        gic_pend(FIRST + depth);
    irq_enable();
    irq_disable();
    depth--;
    gic_eoi(iar);
}

static void test_nested(u32 n)
{
    prepare();
    levels = n;
    for (u32 i = 0; i < SPIS; i++)
        gic_priority(FIRST + i, i < n ? 0xe0 - 16 * i : 0xf0);
    for (u32 i = n; i < SPIS; i++)                  // wait beneath all the time
        gic_pend(FIRST + i);
    gic_pend(FIRST);
    on_irq = nest;
    depth = deepest = 0;
    settle();
    report(deepest == n, "nested: %u deep while %u wait", deepest, SPIS - n);
    report(cpus[0]->logged >= SPIS && all_idle(), "nested: all come to an end");
}

static void receive_all(u64 unused)
{
    (void)unused;
    settle();
}

static void test_elsewhere(void)
{
    u32 to = machine.cpus - 1;
    bool ok;

    if (!to)
        return skip("another CPU: needs 2 CPUs");
    prepare();
    on_irq = in_turn;
    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        gic_route(i, to);
    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        gic_pend(i);
    ok = run(to, receive_all, 0) && wait_until(load(&cpus[to]->logged) >= SPIS);
    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        ok &= count(to, i) == 1;
    for (u32 i = FIRST; i < FIRST + SPIS; i++)
        gic_route(i, 0);
    report(ok && all_idle(), "another CPU: %u come while it sleeps and works", SPIS);
}

int guest(void)
{
    prefix("overflow");
    boot_cpus();
    test_pending();
    test_one_active();
    test_nested(3);
    test_elsewhere();
    if (bootarg("strict")) {
        test_active();
        test_nested(13);
    }
    return summary();
}
