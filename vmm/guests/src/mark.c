// Leaves interrupts in every state there is, says that it can be migrated now, waits for a key, finds all as it was.
#include "gic.h"
#include "its.h"
#include "rt.h"
#include "timer.h"

#define EDGE 40             // pending
#define EDGE_OFF 41         // pending, disabled
#define LATCHED 42          // level, pended by ISPENDR
#define ACTIVE 43
#define BOTH 44             // active and pending
#define CONFIGURED 45       // on the last CPU, nothing else
#define HANDLED 46          // acknowledged by CPU 0, not ended
#define DEV 5
#define EVENTS 6
#define LPI(event) (FIRST_LPI + (event))
#define PMR_LOW 0x20        // keeps a secondary's SGI pending while it sleeps

enum { UART_DR = 0x00, UART_FR = 0x18, UART_IMSC = 0x38, UART_TX = 1 << 5, UART_EMPTY = 1 << 4 };

static u32 last;            // CPU
static u64 sums[MAX_CPUS], cvals[MAX_CPUS], before;
static u32 iar;
static bool secondary_ok[MAX_CPUS];

// ---- registers nothing changes by itself, as one number

static u64 mix(u64 sum, u64 value) { return (sum ^ value) * 0x9e3779b97f4a7c15ul; }

static u64 distributor(void)
{
    u64 sum = 0;

    for (u32 i = 32; i < gic_spis(); i++) {
        sum = mix(sum, gic_enabled(i) | gic_pending(i) << 1 | gic_active(i) << 2 | gic_edge_read(i) << 3);
        if (i % 4 == 0)
            sum = mix(sum, rd32(machine.gicd + 0x400 + i));
        if (machine.gic == 3)
            sum = mix(sum, rd64(machine.gicd + 0x6000 + 8 * i));
        else if (i % 4 == 0)
            sum = mix(sum, rd32(machine.gicd + 0x800 + i));
    }
    return mix(sum, rd32(machine.gicd));
}

static u64 interface(void)
{
    u64 sum = mix(gic_pmr_read(), gic_bpr_read());

    sum = mix(sum, gic_rpr());
    for (u32 i = 0; i < 32; i++)
        sum = mix(sum, gic_enabled(i) | gic_active(i) << 1 | gic_priority_read(i) << 2);
    for (u32 i = 0; i < 16; i++)
        sum = mix(sum, gic_pending(i));
    return sum;
}

// ---- what secondaries do

static void secondary_before(u64 unused)
{
    u32 me = self()->index;

    (void)unused;
    gic_pmr(PMR_LOW);
    gic_bpr(5);
    gic_priority(9, 0x48);
    gic_sgi(4, me);
    gic_enable(TIMER_VIRT);
    virt_arm(1ul << 50);
    cvals[me] = sysreg_read(cntv_cval_el0);
    sums[me] = interface();
}

static void secondary_after(u64 unused)
{
    u32 me = self()->index;
    bool ok = sums[me] == interface() && sysreg_read(cntv_cval_el0) == cvals[me];

    (void)unused;
    ok &= gic_pmr_read() == PMR_LOW && gic_pending(4) && !count(me, 4);
    gic_pmr(PMR_ALL);
    settle();
    ok &= count(me, 4) == 1 && !gic_pending(4);
    sysreg_write(cntv_cval_el0, now());
    settle();
    ok &= count(me, TIMER_VIRT) == 1;
    secondary_ok[me] = ok;
}

static void send_two(u64 unused)
{
    (void)unused;
    gic_sgi(1, 0);
    gic_sgi(2, 0);
}

static void handle(u32 from)
{
    u32 intid = gic_intid(from);

    if (intid == TIMER_VIRT)
        virt_stop();
    else if (intid == TIMER_PHYS)
        sysreg_write(cntp_ctl_el0, 0);
    irq_log(from);
    gic_eoi(from);
}

// ---- before

static void spi(u32 intid, bool edge, u32 priority, bool enabled)
{
    gic_edge(intid, edge);
    gic_priority(intid, priority);
    if (enabled)
        gic_enable(intid);
}

static void lpi(u32 event, u32 priority, bool enabled, u32 cpu)
{
    its_mapti(DEV, event, LPI(event), cpu);
    lpi_configure(LPI(event), priority, enabled);
    its_inv(DEV, event);
}

static void prepare_lpis(void)
{
    its_init();
    its_mapd(DEV, 5, true);
    lpi(0, 0x50, true, 0);              // pending on CPU 0
    lpi(1, 0x50, false, 0);             // pending, disabled
    lpi(2, 0x58, true, last);           // pending on the last CPU
    lpi(3, 0x50, true, 0);              // idle
    lpi(4, 0x50, true, 0);              // moved
    lpi(5, 0x50, true, 0);              // discarded
    its_movi(DEV, 4, last);
    its_discard(DEV, 5);
    for (u32 i = 0; i < 3; i++)
        its_int(DEV, i);
}

static void prepare(void)
{
    spi(HANDLED, true, 0x20, true);
    gic_pend(HANDLED);
    iar = gic_ack();                    // from here on nothing reaches CPU 0 but priorities above 0x20
    spi(EDGE, true, 0x60, true);
    spi(EDGE_OFF, true, 0x68, false);
    spi(LATCHED, false, 0x40, true);
    spi(ACTIVE, true, 0x78, true);
    spi(BOTH, false, 0xb0, true);
    spi(CONFIGURED, false, 0x88, true);
    gic_route(CONFIGURED, last);
    gic_priority(1, 0x70);
    gic_priority(2, 0x80);
    gic_priority(TIMER_VIRT, 0x90);
    for (u32 i = 1; i <= last; i++)
        run(i, secondary_before, 0);
    run(last, send_two, 0);
    if (machine.its)
        prepare_lpis();
    gic_pend(EDGE);
    gic_pend(EDGE_OFF);
    gic_pend(LATCHED);
    gic_activate(ACTIVE);
    gic_activate(BOTH);
    gic_pend(BOTH);
    wr32(UART + UART_IMSC, UART_TX);
    gic_enable(TIMER_VIRT);
    virt_arm(0);                        // pending from now on
    gic_enable(TIMER_PHYS);
    sysreg_write(cntp_cval_el0, sysreg_read(cntpct_el0) + us_to_ticks(5000));
    sysreg_write(cntp_ctl_el0, TIMER_ENABLE);
    gic_pmr(0xf0);
    gic_bpr(4);
}

static void wait_for_key(void)
{
    print("Now migrate the VM, then press a key to continue...\n");
    while (rd32(UART + UART_FR) & UART_EMPTY)
        for (u32 i = 0; i < 1000; i++)
            asm volatile("yield");
    rd32(UART + UART_DR);
}

// ---- after

static void check_state(void)
{
    report(sums[0] == mix(distributor(), interface()), "registers: all as they were");
    report(gic_rpr() == 0x20 && gic_active(HANDLED), "handled: still running at its priority");
    report(gic_pending(EDGE) && gic_pending(EDGE_OFF) && gic_pending(LATCHED), "SPIs: still pending");
    report(gic_active(ACTIVE) && !gic_pending(ACTIVE), "SPIs: still active");
    report(gic_active(BOTH) && gic_pending(BOTH), "SPIs: still active and pending");
    report(gic_pending(UART_SPI), "wire: still high");
    wr32(UART + UART_IMSC, 0);
    report(!gic_pending(UART_SPI), "wire: low when lowered");
    report(gic_pending(1) && gic_pending(2), "SGIs: still pending");
    report(gic_pending(TIMER_VIRT), "virtual timer: still pending");
    report(now() >= before, "counter: does not run backwards");
}

static void check_delivery(void)
{
    u16 order[16];
    u32 n = 0;

    order[n++] = LATCHED;
    if (machine.its)
        order[n++] = LPI(0);
    if (machine.its && !last)
        order[n++] = LPI(2);
    order[n++] = EDGE;
    order[n++] = 1;
    order[n++] = 2;
    order[n++] = TIMER_VIRT;
    order[n++] = BOTH;
    sysreg_write(cntp_ctl_el0, TIMER_ENABLE | TIMER_IMASK);    // its time comes below
    gic_deactivate(ACTIVE);
    gic_deactivate(BOTH);
    report(!gic_active(ACTIVE) && !gic_active(BOTH), "SPIs: the active ones end");
    gic_eoi(iar);
    settle();
    report(in_order(0, order, n), "delivery: %u come once each, in order of priority", n);
    if (machine.gic == 2)
        report(cpus[0]->sources[1] == 1u << last && cpus[0]->sources[2] == 1u << last, "SGIs: sent by CPU %u", last);

    gic_enable(EDGE_OFF);
    settle();
    report(count(0, EDGE_OFF) == 1, "SPIs: the disabled one comes when enabled");

    sysreg_write(cntp_ctl_el0, TIMER_ENABLE);
    report(wait_until(count(0, TIMER_PHYS) == 1), "physical timer: fires");
}

static void check_secondaries(void)
{
    u32 good = 0;

    for (u32 i = 1; i <= last; i++)
        good += run(i, secondary_after, 0) && secondary_ok[i];
    report(good == last, "secondaries: %u of %u as they were, each with a pending SGI and a timer", good, last);
    if (!last)
        return;
    gic_pend(CONFIGURED);
    report(wait_until(count(last, CONFIGURED) == 1), "SPIs: the configured one goes to CPU %u", last);
}

static void check_lpis(void)
{
    if (last)
        report(count(last, LPI(2)) == 1, "LPIs: one was pending on CPU %u", last);
    lpi_configure(LPI(1), 0x50, true);
    its_inv(DEV, 1);
    settle();
    report(count(0, LPI(1)) == 1, "LPIs: the disabled one was pending");
    its_int(DEV, 3);
    settle();
    report(count(0, LPI(3)) == 1, "LPIs: mappings are there, commands are taken");
    its_int(DEV, 4);
    report(wait_until(count(last, LPI(4)) == 1), "LPIs: the moved one goes to CPU %u", last);
    its_int(DEV, 5);
    settle();
    report(!count(0, LPI(5)) && its_idle(), "LPIs: the discarded one is gone");
}

int guest(void)
{
    prefix("mark");
    boot_cpus();
    last = machine.cpus - 1;
    on_irq = handle;
    prepare();
    forget();
    sums[0] = mix(distributor(), interface());
    before = now();
    wait_for_key();
    check_state();
    check_delivery();
    check_secondaries();
    if (machine.its)
        check_lpis();
    return summary();
}
