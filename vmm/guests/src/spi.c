// SPIs: edge and level, a real wire, priorities, preemption, EOI modes, the active state, routing.
// With `strict` also what the architecture asks and KVM (Linux 6.12) does not do: SPIs pended while the distributor is
// off, DIR on another CPU.  With `qemu` without what QEMU's GICv2 is known to do otherwise.
#include "gic.h"
#include "rt.h"

#define A 40
#define B 41
#define C 42
#define D 43

enum { UART_IMSC = 0x38, UART_ICR = 0x44, UART_TX = 1 << 5 };

static void setup(u32 intid, bool edge, u32 priority)
{
    gic_disable(intid);
    gic_unpend(intid);
    gic_edge(intid, edge);
    gic_priority(intid, priority);
    gic_route(intid, 0);
    gic_enable(intid);
    forget();
}

// ---- pending

static void test_pending(bool edge)
{
    const char *kind = edge ? "edge" : "level";

    setup(A, edge, PRIORITY);
    gic_pend(A);
    gic_pend(A);
    report(gic_pending(A) && !gic_active(A), "%s: ISPENDR makes it pending", kind);
    settle();
    report(count(0, A) == 1 && cpus[0]->logged == 1, "%s: pended twice comes once", kind);
    report(!gic_pending(A) && !gic_active(A), "%s: idle afterwards", kind);

    gic_pend(A);
    gic_unpend(A);
    settle();
    report(count(0, A) == 1, "%s: ICPENDR takes it back", kind);

    gic_disable(A);
    gic_pend(A);
    settle();
    report(count(0, A) == 1 && gic_pending(A), "%s: stays pending while disabled", kind);
    gic_enable(A);
    settle();
    report(count(0, A) == 2, "%s: comes when enabled", kind);

    gic_distributor(false);
    gic_pend(A);
    settle();
    report(count(0, A) == 2, "%s: nothing comes while the distributor is off", kind);
    gic_distributor(true);
    if (!bootarg("strict"))
        gic_enable(A);              // KVM looks at it again only then
    settle();
    report(count(0, A) == 3, "%s: comes when it is on again", kind);
}

static u32 depth, deepest;

static void pend_again(u32 iar)
{
    irq_log(iar);
    if (count(0, A) < 5)
        gic_pend(A);
    deepest = ++depth > deepest ? depth : deepest;
    irq_enable();               // active: must not come again before the end
    irq_disable();
    depth--;
    gic_eoi(iar);
}

static void test_pend_while_active(void)
{
    setup(A, true, PRIORITY);
    on_irq = pend_again;
    gic_pend(A);
    settle();
    on_irq = irq_default;
    report(count(0, A) == 5 && deepest == 1, "edge: pended while active comes again after the end, four times");
}

// ---- a wire that stays high

static u32 uart_times;
static bool uart_seen_pending_active;

static void uart_irq(u32 iar)
{
    irq_log(iar);
    if (gic_intid(iar) == UART_SPI && count(0, UART_SPI) == uart_times)
        wr32(UART + UART_IMSC, 0);
    else
        uart_seen_pending_active |= gic_pending(UART_SPI) && gic_active(UART_SPI);
    gic_eoi(iar);
}

static void test_wire(void)
{
    setup(UART_SPI, false, PRIORITY);
    report(!gic_edge_read(UART_SPI), "wire: ICFGR says level");
    gic_disable(UART_SPI);
    print("\n");                                    // whatever was sent, the transmitter asks for more
    wr32(UART + UART_IMSC, UART_TX);
    report(gic_pending(UART_SPI), "wire: pending while high");
    gic_unpend(UART_SPI);
    report(gic_pending(UART_SPI), "wire: ICPENDR does not lower it");
    wr32(UART + UART_IMSC, 0);
    report(!gic_pending(UART_SPI), "wire: not pending when low");
    gic_enable(UART_SPI);
    settle();
    report(!count(0, UART_SPI), "wire: low before enabled, nothing comes");

    uart_times = 4;
    on_irq = uart_irq;
    wr32(UART + UART_IMSC, UART_TX);
    settle();
    on_irq = irq_default;
    report(count(0, UART_SPI) == 4, "wire: comes again until it is lowered");
    report(uart_seen_pending_active, "wire: active and pending while handled and high");

    gic_pend(UART_SPI);
    settle();
    report(count(0, UART_SPI) == 5, "wire: low, but pended by ISPENDR, comes once");
    gic_disable(UART_SPI);
}

// ---- priorities

static void test_priority(void)
{
    static const u16 first[] = {C, A}, rest[] = {C, A, D, B};

    setup(A, true, 0x60);
    setup(B, true, 0xc0);
    setup(C, true, 0x20);
    setup(D, true, 0x80);
    report(gic_priority_read(A) == 0x60 && gic_priority_read(C) == 0x20, "priority: reads back");
    gic_pmr(0x80);
    report(gic_pmr_read() == 0x80, "mask: reads back");
    for (u32 i = A; i <= D; i++)
        gic_pend(i);
    report(gic_hppir() == C, "priority: HPPIR names the highest");
    report(gic_rpr() >= 0xf8, "priority: RPR is idle");
    settle();
    report(in_order(0, first, LEN(first)), "mask: only what is higher than PMR comes");
    gic_pmr(PMR_ALL);
    settle();
    report(in_order(0, rest, LEN(rest)), "mask: the rest comes in order of priority");
}

// Each handler but the last pends the next one of `chain` and gives it a chance to interrupt.
static const u16 *chain;
static u32 links;
static bool rpr_right;

static void nest(u32 iar)
{
    u32 intid = gic_intid(iar), here = self()->logged;

    irq_log(iar);
    deepest = ++depth > deepest ? depth : deepest;
    rpr_right &= gic_rpr() == gic_priority_read(intid);
    if (here + 1 < links)
        gic_pend(chain[here + 1]);
    irq_enable();
    irq_disable();
    depth--;
    gic_eoi(iar);
}

static u32 nested(const u16 *ids, u32 n)
{
    forget();
    chain = ids;
    links = n;
    depth = deepest = 0;
    rpr_right = true;
    on_irq = nest;
    gic_pend(ids[0]);
    settle();
    on_irq = irq_default;
    return deepest;
}

static void test_preemption(void)
{
    static const u16 up[] = {A, B, C, D}, down[] = {D, C}, equal[] = {A, 44};

    setup(A, true, 0xc0);
    setup(B, true, 0xa8);
    setup(C, true, 0x58);
    setup(D, true, 0x50);
    setup(44, true, 0xc0);
    gic_bpr(3);
    report(nested(up, 4) == 4 && in_order(0, up, 4), "preemption: four deep");
    report(rpr_right, "preemption: RPR is the running priority");
    report(nested(down, 2) == 1 && in_order(0, down, 2), "preemption: lower waits for the end");
    report(nested(equal, 2) == 1 && in_order(0, equal, 2), "preemption: equal waits for the end");
    gic_bpr(5);
    report(gic_bpr_read() == 5, "binary point: reads back");
    report(nested(up, 4) == 3 && in_order(0, up, 4), "binary point: one group does not preempt itself");
    gic_bpr(7);
    report(nested(up, 4) == 2 && in_order(0, up, 4), "binary point: two groups are left");
    gic_bpr(3);
    report(gic_rpr() >= 0xf8, "preemption: RPR is idle afterwards");
}

// ---- ends

static u32 held[8], holding;

static void hold(u32 iar)
{
    irq_log(iar);
    held[holding++] = iar;
    gic_eoi(iar);               // priority drop only
}

static void test_eoi_mode(void)
{
    static const u16 both[] = {A, B};

    setup(A, true, PRIORITY);
    setup(B, true, PRIORITY);
    gic_eoi_mode(1);
    holding = 0;
    on_irq = hold;
    gic_pend(A);
    settle();
    report(gic_active(A) && gic_rpr() >= 0xf8, "EOI mode 1: EOIR drops the priority, A stays active");
    gic_pend(A);
    settle();
    report(count(0, A) == 1 && gic_pending(A), "EOI mode 1: active and pending does not come");
    gic_pend(B);
    settle();
    report(in_order(0, both, 2) && gic_active(B), "EOI mode 1: another of the same priority does");
    gic_dir(held[0]);
    report(!gic_active(A) && gic_active(B), "EOI mode 1: DIR deactivates, in any order");
    settle();
    report(count(0, A) == 2, "EOI mode 1: what was pending comes after DIR");
    for (u32 i = 1; i < holding; i++)
        gic_dir(held[i]);
    report(!gic_active(A) && !gic_active(B), "EOI mode 1: nothing is left active");
    on_irq = irq_default;
    gic_eoi_mode(0);
}

static void test_active(void)
{
    setup(A, true, PRIORITY);
    gic_activate(A);
    gic_pend(A);
    settle();
    report(gic_active(A) && !count(0, A), "active: set by ISACTIVER, it does not come");
    gic_deactivate(A);
    settle();
    report(!gic_active(A) && count(0, A) == 1, "active: cleared by ICACTIVER, it comes");
}

// ---- routing

static void far_dir(u64 iar)
{
    gic_eoi_mode(1);
    gic_dir(iar);
    gic_eoi_mode(0);
}

static void test_routing(void)
{
    u32 n = machine.cpus;
    bool exact = true;

    if (n < 2)
        return skip("routing: needs 2 CPUs");
    setup(A, true, PRIORITY);
    for (u32 i = 0; i < n; i++) {
        gic_route(A, i);
        gic_pend(A);
        exact &= wait_until(count(i, A) == 1);
    }
    for (u32 i = 0; i < n; i++)
        exact &= cpus[i]->logged == 1;
    report(exact, "routing: to each of %u CPUs in turn", n);

    if (machine.gic == 2 && bootarg("qemu"))
        return skip("routing: QEMU's GICv2 fixes the target when the interrupt becomes pending");
    gic_route(A, 0);
    forget();
    gic_pmr(PRIORITY);
    gic_pend(A);
    gic_route(A, n - 1);
    report(wait_until(count(n - 1, A) == 1) && !count(0, A), "routing: changed while pending, it moves");
    gic_pmr(PMR_ALL);

    if (machine.gic == 2)
        return;
    if (!bootarg("strict"))
        return skip("EOI mode 1: another CPU's DIR: only asked for by `strict`");
    gic_route(A, 0);
    forget();
    gic_eoi_mode(1);
    holding = 0;
    on_irq = hold;
    gic_pend(A);
    settle();
    on_irq = irq_default;
    exact = gic_active(A) && run(1, far_dir, held[0]);
    report(exact && !gic_active(A), "EOI mode 1: another CPU's DIR deactivates");
    gic_deactivate(A);
    gic_eoi_mode(0);
}

int guest(void)
{
    prefix("spi");
    boot_cpus();
    test_pending(true);
    test_pending(false);
    test_pend_while_active();
    test_wire();
    test_priority();
    test_preemption();
    test_eoi_mode();
    test_active();
    test_routing();
    return summary();
}
