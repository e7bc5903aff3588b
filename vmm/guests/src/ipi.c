// SGIs: from each CPU to each, broadcast, to oneself, to sleepers, merged or not, and many.
#include "gic.h"
#include "rt.h"

#define STRESS_ROUNDS 12
#define HOPS_PER_CPU 8

static u32 n;

static u32 sources(void) { return n < 8 ? n : 8; }      // CPUs that send in the quadratic tests

static u32 total(u32 sgi)
{
    u32 sum = 0;

    for (u32 i = 0; i < n; i++)
        sum += count(i, sgi);
    return sum;
}

static void to_each(u64 sgi)
{
    for (u32 i = 0; i < n; i++)
        gic_sgi(sgi, i);
    settle();
}

static void to_others(u64 sgi)
{
    gic_sgi_others(sgi);
    settle();
}

static void to_first(u64 sgi) { gic_sgi(sgi, 0); }

static void test_each(void)
{
    bool exact = true, named = true;

    for (u32 from = 0; from < sources(); from++) {
        forget();
        exact &= run(from, to_each, from) && wait_until(total(from) >= n);
        for (u32 i = 0; i < n; i++) {
            exact &= count(i, from) == 1 && cpus[i]->logged == 1;
            named &= cpus[i]->sources[from] == 1u << from;
        }
    }
    report(exact, "each to each: %u CPUs send to %u, each is received once", sources(), n);
    if (machine.gic == 2)
        report(named, "each to each: IAR names the sender");
}

static void test_broadcast(void)
{
    bool exact = true;

    for (u32 from = 0; from < sources(); from++) {
        forget();
        exact &= run(from, to_others, 9) && wait_until(total(9) >= n - 1);
        for (u32 i = 0; i < n; i++)
            exact &= count(i, 9) == (i != from);
    }
    report(exact, "broadcast: all but the sender");
}

static void test_list(void)
{
    u32 mask = 0xaa & ((1u << (n < 8 ? n : 8)) - 1);
    bool exact;

    if (n < 2)
        return skip("list: needs 2 CPUs");
    forget();
    gic_sgi_list(3, mask);
    exact = wait_until(total(3) >= (n < 8 ? n : 8) / 2);
    for (u32 i = 0; i < n; i++)
        exact &= count(i, 3) == (i < 8 && mask >> i & 1);
    report(exact, "list: one write reaches every CPU in the target list");
}

static void test_self(void)
{
    static const u16 all[] = {14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};

    forget();
    gic_sgi(2, 0);
    settle();
    report(count(0, 2) == 1 && cpus[0]->logged == 1, "self: one SGI");

    forget();
    gic_sgi(4, 0);
    gic_sgi(4, 0);
    gic_sgi(4, 0);
    settle();
    report(count(0, 4) == 1, "merge: three of a kind pending are one");

    forget();
    gic_disable(5);
    if (gic_enabled(5)) {
        skip("disabled: this GIC's SGIs are always enabled");
    } else {
        gic_sgi(5, 0);
        settle();
        report(!count(0, 5) && gic_pending(5), "disabled: stays pending");
        gic_enable(5);
        settle();
        report(count(0, 5) == 1 && !gic_pending(5), "disabled: comes when enabled");
    }

    forget();
    for (u32 i = 0; i < 15; i++) {
        gic_priority(i, 0xf0 - 16 * i);     // GICv4.1 keeps four bits of a virtual SGI's
        gic_sgi(i, 0);
    }
    settle();
    report(in_order(0, all, LEN(all)), "priority: fifteen at once come highest first");
    for (u32 i = 0; i < 15; i++)
        gic_priority(i, PRIORITY);
}

static void test_two_senders(void)
{
    u32 want = machine.gic == 2 ? 2 : 1;

    if (n < 2)
        return skip("two senders: needs 2 CPUs");
    forget();
    gic_pmr(PRIORITY);              // not yet
    gic_sgi(6, 0);
    run(1, to_first, 6);
    gic_pmr(PMR_ALL);
    settle();
    report(count(0, 6) == want, "two senders: %s", want == 2 ? "GICv2 keeps them apart" : "GICv3 merges them");
}

static u32 hops;

static void forward(u32 iar)
{
    irq_log(iar);
    gic_eoi(iar);
    if (gic_intid(iar) == 1 && load(&hops) && __atomic_fetch_sub(&hops, 1, __ATOMIC_ACQ_REL))
        gic_sgi(gic_intid(iar), (self()->index + 1) % n);
}

static void test_ring(void)
{
    u32 want = HOPS_PER_CPU * n + 1;            // the last one comes back to CPU 0
    bool done;

    forget();
    hops = want - 1;
    on_irq = forward;
    gic_sgi(1, 0);
    done = sleep_until(total(1) >= want);
    on_irq = irq_default;
    report(done && total(1) == want, "ring: %u hops around sleeping CPUs", want);
}

static void answer(u32 iar)
{
    irq_log(iar);
    gic_eoi(iar);
    if (gic_intid(iar) == 7)
        gic_sgi(8, (self()->index + n - 1) % n);
}

// Send to the next CPU and sleep until it has answered.
static void exchange(u64 rounds)
{
    struct cpu *me = self();

    for (u32 r = 1; r <= rounds; r++) {
        gic_sgi(7, (me->index + 1) % n);
        if (!sleep_until(load(&me->count[8]) >= r))
            return;
    }
}

static void test_exchange(void)
{
    bool exact = true;

    forget();
    on_irq = answer;
    for (u32 i = 1; i < n; i++)
        start(i, exchange, STRESS_ROUNDS);
    exchange(STRESS_ROUNDS);
    for (u32 i = 1; i < n; i++)
        exact &= finished(i);
    on_irq = irq_default;
    for (u32 i = 0; i < n; i++)
        exact &= count(i, 7) == STRESS_ROUNDS && count(i, 8) == STRESS_ROUNDS;
    report(exact, "stress: all CPUs at once, %u rounds and answers, exact counts", STRESS_ROUNDS);
}

int guest(void)
{
    u32 spurious = 0;

    n = machine.cpus;
    prefix("ipi");
    gic_direct_sgis();
    boot_cpus();
    test_self();
    test_each();
    test_broadcast();
    test_list();
    test_two_senders();
    test_ring();
    test_exchange();
    for (u32 i = 0; i < n; i++)
        spurious += cpus[i]->spurious;
    report(!spurious, "no interrupt was spurious");
    return summary();
}
