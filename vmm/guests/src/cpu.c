// CPUs: boot, jobs, exceptions, waiting.
#include "gic.h"
#include "rt.h"
#include "timer.h"

#define STACK_BYTES 8192
#define JOB_SGI 15

extern char __heap[];
extern char secondary_entry[];

struct cpu *cpus[MAX_CPUS];
irq_handler *on_irq = irq_default;

// ---- memory

void *memset(void *to, int byte, u64 n)
{
    u8 *p = to;

    if (!byte && !((u64)p % 8))
        for (; n >= 8; n -= 8, p += 8)
            *(volatile u64 *)p = 0;
    while (n--)
        *(volatile u8 *)p++ = byte;
    return to;
}

void *memcpy(void *to, const void *from, u64 n)
{
    for (u64 i = 0; i < n; i++)
        ((volatile u8 *)to)[i] = ((const u8 *)from)[i];
    return to;
}

void *zalloc(u64 bytes, u64 align)
{
    static u64 next;
    u64 at = ((next ? next : (u64)__heap) + align - 1) & -align;

    next = at + bytes;
    if (next > machine.ram + machine.ram_size) {
        print("ABORT: out of memory\n");
        finish(CODE_ABORT);
    }
    return memset((void *)at, 0, bytes);
}

// ---- PSCI

long psci(u32 function, u64 a, u64 b, u64 c)
{
    register u64 x0 asm("x0") = function;
    register u64 x1 asm("x1") = a;
    register u64 x2 asm("x2") = b;
    register u64 x3 asm("x3") = c;

    asm volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                 :: "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
                 "memory");
    return x0;
}

// ---- boot and jobs

void boot(const void *fdt)
{
    fdt_read(fdt);
    for (u32 i = 0; i < machine.cpus; i++) {
        cpus[i] = zalloc(sizeof(struct cpu), 64);
        cpus[i]->index = i;
        cpus[i]->mpidr = machine.mpidr[i];
    }
    sysreg_write(tpidr_el1, cpus[0]);
    cpus[0]->online = 1;
    gic_init();
    gic_cpu_init();
    finish(guest());
}

void secondary(struct cpu *me)
{
    gic_cpu_init();
    store(&me->online, 1);
    for (;;) {
        void (*job)(u64) = load(&me->job);

        if (job) {
            job(me->argument);
            irq_disable();
            store(&me->job, 0);
        } else {
            wfi();
            irq_enable();
            irq_disable();
        }
    }
}

void boot_cpus(void)
{
    u32 up = 1;

    for (u32 i = 1; i < machine.cpus; i++) {
        if (cpus[i]->online)
            return;
        cpus[i]->stack = (u64)zalloc(STACK_BYTES, 64) + STACK_BYTES;
        dsb();
        if (!psci(PSCI_CPU_ON, cpus[i]->mpidr, (u64)secondary_entry, (u64)cpus[i]))
            up += wait_until(load(&cpus[i]->online));
    }
    if (!report(up == machine.cpus, "boot: %u of %u CPUs online", up, machine.cpus))
        finish(summary());
}

void start(u32 cpu, void (*job)(u64), u64 argument)
{
    cpus[cpu]->argument = argument;
    store(&cpus[cpu]->job, job);
    dsb();
    gic_sgi(JOB_SGI, cpu);
}

bool finished(u32 cpu) { return wait_until(!load(&cpus[cpu]->job)); }

bool run(u32 cpu, void (*job)(u64), u64 argument)
{
    if (cpu != self()->index) {
        start(cpu, job, argument);
        return finished(cpu);
    }
    job(argument);
    return true;
}

// ---- exceptions

static _Noreturn void die(const char *what, const struct frame *f)
{
    print("ABORT: CPU %u: %s: ESR %lx FAR %lx ELR %lx SPSR %lx\n", self()->index, what, sysreg_read(esr_el1),
          sysreg_read(far_el1), f->elr, f->spsr);
    finish(CODE_ABORT);
}

void unexpected(struct frame *f) { die("unexpected vector", f); }

void sync_exception(struct frame *f)
{
    struct cpu *me = self();

    if (!me->catching)
        die("unhandled exception", f);
    me->catching = 0;
    me->esr = sysreg_read(esr_el1);
    me->far = sysreg_read(far_el1);
    me->elr = f->elr;
    if (me->resume)
        f->elr = me->resume;
    else if (me->esr >> 26 != 0x15)         // SVC returns after itself as it is
        f->elr += 4;
}

void irq_exception(void)
{
    struct cpu *me = self();
    u32 iar = gic_ack();
    u32 intid = gic_intid(iar);

    if (intid == SPURIOUS) {
        me->spurious++;
    } else if (intid == JOB_SGI) {
        gic_eoi(iar);
    } else if (intid == TIMER_VIRT && me->watched) {
        virt_stop();
        me->timed_out = 1;
        gic_eoi(iar);
    } else {
        on_irq(iar);
    }
}

void irq_log(u32 iar)
{
    struct cpu *me = self();
    u32 intid = gic_intid(iar);

    if (me->logged < LOGGED)
        me->log[me->logged] = intid;
    if (intid < 16 && machine.gic == 2)
        me->sources[intid] |= 1 << (iar >> 10 & 7);
    if (slot(intid) < COUNTED)
        store(&me->count[slot(intid)], me->count[slot(intid)] + 1);
    store(&me->logged, me->logged + 1);
}

void irq_default(u32 iar)
{
    irq_log(iar);
    gic_eoi(iar);
}

u32 count(u32 cpu, u32 intid) { return load(&cpus[cpu]->count[slot(intid)]); }

void forget(void)
{
    for (u32 i = 0; i < machine.cpus; i++) {
        memset(cpus[i]->count, 0, sizeof(cpus[i]->count));
        memset(cpus[i]->sources, 0, sizeof(cpus[i]->sources));
        cpus[i]->spurious = 0;
        store(&cpus[i]->logged, 0);
    }
}

bool in_order(u32 cpu, const u16 *intids, u32 n)
{
    bool ok = load(&cpus[cpu]->logged) == n;

    for (u32 i = 0; ok && i < n; i++)
        ok = cpus[cpu]->log[i] == intids[i];
    if (!ok) {
        print("CPU %u handled:", cpu);
        for (u32 i = 0; i < load(&cpus[cpu]->logged) && i < LOGGED; i++)
            print(" %u", cpus[cpu]->log[i]);
        print("\n");
    }
    return ok;
}

// ---- waiting

static void pause(u32 spins)
{
    for (u32 i = 0; i < spins; i++)
        asm volatile("yield" ::: "memory");
}

void settle(void)
{
    irq_enable();
    pause(100);
    irq_disable();
}

void delay_us(u32 us)
{
    u64 end = now() + us_to_ticks(us);

    while (now() < end)
        pause(20);
}

bool out_of_patience(struct patience *p)
{
    if (!p->deadline) {
        p->deadline = now() + us_to_ticks(WATCHDOG_S * 1000000);
        p->spins = 20;
    }
    irq_enable();
    pause(p->spins);
    irq_disable();
    if (p->spins < 1000)
        p->spins *= 2;
    return now() > p->deadline;
}

void watchdog_on(void)
{
    self()->timed_out = 0;
    self()->watched = 1;
    virt_arm(us_to_ticks(WATCHDOG_S * 1000000));
    gic_enable(TIMER_VIRT);
}

void watchdog_off(void)
{
    virt_stop();
    gic_disable(TIMER_VIRT);
    self()->watched = 0;
}
