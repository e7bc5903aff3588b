// The distributor, and the CPU interface as memory (GICv2) or system registers (GICv3).
#include "gic.h"
#include "rt.h"

enum {
    CTLR = 0x000, TYPER = 0x004, TYPER2 = 0x00c, IGROUPR = 0x080, ISENABLER = 0x100, ICENABLER = 0x180, ISPENDR = 0x200,
    ICPENDR = 0x280, ISACTIVER = 0x300, ICACTIVER = 0x380, IPRIORITYR = 0x400, ITARGETSR = 0x800, ICFGR = 0xc00,
    SGIR = 0xf00, IROUTER = 0x6000,
};
enum { GICR_CTLR = 0x0, GICR_TYPER = 0x8, GICR_WAKER = 0x14, SGI_FRAME = 0x10000 };
enum {
    GICC_CTLR = 0x00, GICC_PMR = 0x04, GICC_BPR = 0x08, GICC_IAR = 0x0c, GICC_EOIR = 0x10, GICC_RPR = 0x14,
    GICC_HPPIR = 0x18, GICC_DIR = 0x1000,
};

#define ICC_PMR s3_0_c4_c6_0
#define ICC_IAR1 s3_0_c12_c12_0
#define ICC_EOIR1 s3_0_c12_c12_1
#define ICC_HPPIR1 s3_0_c12_c12_2
#define ICC_BPR1 s3_0_c12_c12_3
#define ICC_CTLR s3_0_c12_c12_4
#define ICC_SRE s3_0_c12_c12_5
#define ICC_IGRPEN1 s3_0_c12_c12_7
#define ICC_DIR s3_0_c12_c11_1
#define ICC_RPR s3_0_c12_c11_3
#define ICC_SGI1R s3_0_c12_c11_5

static u32 affinity(u64 mpidr) { return (mpidr >> 8 & 0xff000000) | (mpidr & 0xffffff); }

// ---- distributor

static u64 bank(u32 intid) { return machine.gic == 3 && intid < 32 ? self()->gicr + SGI_FRAME : machine.gicd; }

static bool bit(u32 reg, u32 intid) { return rd32(bank(intid) + reg + intid / 32 * 4) >> intid % 32 & 1; }
static void set(u32 reg, u32 intid) { wr32(bank(intid) + reg + intid / 32 * 4, 1u << intid % 32); }

// What was switched off stays off after this: GICv3 may take its time.
static void settled(u32 intid)
{
    if (machine.gic == 2)
        return;
    if (intid < 32)
        while (rd32(self()->gicr + GICR_CTLR) & 1 << 3)
            ;
    else
        while (rd32(machine.gicd + CTLR) & 1u << 31)
            ;
}

void gic_enable(u32 intid) { set(ISENABLER, intid); }
void gic_disable(u32 intid) { set(ICENABLER, intid); settled(intid); }
bool gic_enabled(u32 intid) { return bit(ISENABLER, intid); }
void gic_pend(u32 intid) { set(ISPENDR, intid); }
void gic_unpend(u32 intid) { set(ICPENDR, intid); }
bool gic_pending(u32 intid) { return bit(ISPENDR, intid); }
void gic_activate(u32 intid) { set(ISACTIVER, intid); }
void gic_deactivate(u32 intid) { set(ICACTIVER, intid); }
bool gic_active(u32 intid) { return bit(ISACTIVER, intid); }
void gic_priority(u32 intid, u32 priority) { wr8(bank(intid) + IPRIORITYR + intid, priority); }
u32 gic_priority_read(u32 intid) { return rd32(bank(intid) + IPRIORITYR + (intid & ~3u)) >> intid % 4 * 8 & 0xff; }

void gic_edge(u32 intid, bool edge)
{
    u64 reg = bank(intid) + ICFGR + intid / 16 * 4;
    u32 mask = 2u << intid % 16 * 2;

    wr32(reg, (rd32(reg) & ~mask) | (edge ? mask : 0));
}

bool gic_edge_read(u32 intid) { return rd32(bank(intid) + ICFGR + intid / 16 * 4) >> (intid % 16 * 2 + 1) & 1; }

void gic_route(u32 spi, u32 cpu)
{
    if (machine.gic == 3)
        wr64(machine.gicd + IROUTER + 8 * spi, cpus[cpu]->mpidr & 0xff00fffffful);
    else
        wr8(machine.gicd + ITARGETSR + spi, 1u << cpu);
}

u32 gic_spis(void)
{
    u32 lines = 32 * ((rd32(machine.gicd + TYPER) & 31) + 1);

    return lines < 1020 ? lines : 1020;
}

static u32 direct_sgis;     // nASSGIreq

void gic_distributor(bool on)
{
    wr32(machine.gicd + CTLR, machine.gic == 2 ? on : direct_sgis | 1 << 4 | on << 1);  // GICv3: affinity routing, group 1
    settled(32);
}

void gic_direct_sgis(void)
{
    if (machine.gic == 2 || !(rd32(machine.gicd + TYPER2) >> 8 & 1))
        return;
    gic_distributor(false);
    direct_sgis = 1 << 8;
    gic_distributor(true);
}

// Every CPU's redistributor, its affinity and its number for the ITS.
static void find_redistributors(void)
{
    for (u32 r = 0; r < LEN(machine.gicr); r++) {
        u64 at = machine.gicr[r].base;
        u64 typer;

        if (!at)
            return;
        do {
            typer = rd64(at + GICR_TYPER);
            for (u32 i = 0; i < machine.cpus; i++)
                if (affinity(cpus[i]->mpidr) == typer >> 32) {
                    cpus[i]->gicr = at;
                    cpus[i]->procnum = typer >> 8 & 0xffff;
                }
            at += typer & 2 ? 0x40000 : 0x20000;
        } while (!(typer & 1 << 4) && at < machine.gicr[r].base + machine.gicr[r].size);
    }
}

void gic_init(void)
{
    u32 last = gic_spis();

    if (machine.gic == 3)
        find_redistributors();
    gic_distributor(false);
    for (u32 i = 32; i < last; i += 32) {
        wr32(machine.gicd + ICENABLER + i / 8, ~0u);
        wr32(machine.gicd + ICPENDR + i / 8, ~0u);
        wr32(machine.gicd + ICACTIVER + i / 8, ~0u);
        if (machine.gic == 3)
            wr32(machine.gicd + IGROUPR + i / 8, ~0u);
    }
    for (u32 i = 32; i < last; i += 4) {
        wr32(machine.gicd + IPRIORITYR + i, PRIORITY * 0x01010101u);
        if (machine.gic == 2)
            wr32(machine.gicd + ITARGETSR + i, 0x01010101);
    }
    for (u32 i = 32; i < last; i += 16)
        wr32(machine.gicd + ICFGR + i / 4, 0xaaaaaaaa);
    if (machine.gic == 3)
        for (u32 i = 32; i < last; i++)
            gic_route(i, 0);
    gic_edge(UART_SPI, false);
    gic_distributor(true);
}

// ---- CPU interface

void gic_cpu_init(void)
{
    u64 base = bank(0);

    if (machine.gic == 3) {
        wr32(self()->gicr + GICR_WAKER, rd32(self()->gicr + GICR_WAKER) & ~2u);
        while (rd32(self()->gicr + GICR_WAKER) & 4)
            ;
        wr32(base + IGROUPR, ~0u);
    }
    wr32(base + ICENABLER, 0xffff0000);
    wr32(base + ISENABLER, 0x0000ffff);
    for (u32 i = 0; i < 32; i += 4)
        wr32(base + IPRIORITYR + i, PRIORITY * 0x01010101u);
    gic_priority(15, 0);                        // the runtime's own
    if (machine.gic == 3) {
        sysreg_write(ICC_SRE, sysreg_read(ICC_SRE) | 1);
        gic_pmr(PMR_ALL);
        gic_bpr(3);
        gic_eoi_mode(0);
        sysreg_write(ICC_IGRPEN1, 1);
    } else {
        gic_pmr(PMR_ALL);
        gic_bpr(3);
        gic_eoi_mode(0);
    }
}

u32 gic_ack(void)
{
    u32 iar;

    if (machine.gic == 2)
        return rd32(machine.gicc + GICC_IAR);
    iar = sysreg_read(ICC_IAR1);
    dsb();
    return iar;
}

void gic_eoi(u32 iar)
{
    if (machine.gic == 2)
        wr32(machine.gicc + GICC_EOIR, iar);
    else
        sysreg_write(ICC_EOIR1, iar);
}

void gic_dir(u32 iar)
{
    if (machine.gic == 2)
        wr32(machine.gicc + GICC_DIR, iar);
    else
        sysreg_write(ICC_DIR, iar);
}

u32 gic_hppir(void) { return gic_intid(machine.gic == 2 ? rd32(machine.gicc + GICC_HPPIR) : sysreg_read(ICC_HPPIR1)); }
u32 gic_rpr(void) { return machine.gic == 2 ? rd32(machine.gicc + GICC_RPR) & 0xff : sysreg_read(ICC_RPR) & 0xff; }
u32 gic_pmr_read(void) { return machine.gic == 2 ? rd32(machine.gicc + GICC_PMR) : sysreg_read(ICC_PMR); }

void gic_pmr(u32 priority)
{
    if (machine.gic == 2)
        wr32(machine.gicc + GICC_PMR, priority);
    else
        sysreg_write(ICC_PMR, priority);
}

// GICv2 without groups splits above bit BPR, group 1 of GICv3 at bit BPR.
void gic_bpr(u32 lowest_bit)
{
    if (machine.gic == 2)
        wr32(machine.gicc + GICC_BPR, lowest_bit - 1);
    else
        sysreg_write(ICC_BPR1, lowest_bit);
}

u32 gic_bpr_read(void) { return machine.gic == 2 ? rd32(machine.gicc + GICC_BPR) + 1 : sysreg_read(ICC_BPR1); }

void gic_eoi_mode(u32 mode)
{
    if (machine.gic == 2)
        wr32(machine.gicc + GICC_CTLR, mode << 9 | 1);
    else
        sysreg_write(ICC_CTLR, mode << 1);
}

// ---- SGIs

void gic_sgi(u32 sgi, u32 cpu)
{
    u64 to = cpus[cpu]->mpidr;

    dsb();
    if (machine.gic == 2)
        wr32(machine.gicd + SGIR, 1u << (16 + cpu) | sgi);
    else
        sysreg_write(ICC_SGI1R, (to >> 32 & 0xff) << 48 | (to >> 16 & 0xff) << 32 | (to >> 8 & 0xff) << 16 |
               (u64)sgi << 24 | 1ul << (to & 0xf));
}

void gic_sgi_list(u32 sgi, u32 mask)
{
    dsb();
    if (machine.gic == 2)
        wr32(machine.gicd + SGIR, mask << 16 | sgi);
    else
        sysreg_write(ICC_SGI1R, (u64)sgi << 24 | mask);
}

void gic_sgi_others(u32 sgi)
{
    dsb();
    if (machine.gic == 2)
        wr32(machine.gicd + SGIR, 1u << 24 | sgi);
    else
        sysreg_write(ICC_SGI1R, 1ul << 40 | (u64)sgi << 24);
}
