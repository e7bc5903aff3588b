// The ITS: a command queue of 128 slots, flat tables of one page, one property table for all CPUs.
#include "its.h"
#include "rt.h"

enum {
    GITS_CTLR = 0x00, GITS_TYPER = 0x08, GITS_CBASER = 0x80, GITS_CWRITER = 0x88, GITS_CREADR = 0x90,
    GITS_BASER = 0x100,
    GICR_CTLR = 0x00, GICR_PROPBASER = 0x70, GICR_PENDBASER = 0x78,
};
enum {
    MOVI = 0x01, INT = 0x03, CLEAR = 0x04, SYNC = 0x05, MAPD = 0x08, MAPC = 0x09, MAPTI = 0x0a, INV = 0x0c,
    INVALL = 0x0d, MOVALL = 0x0e, DISCARD = 0x0f,
};

#define SLOT 32
#define SLOTS 128
#define VALID (1ul << 63)
#define CACHED (7ul << 59 | 1ul << 10)              // inner write-back, inner shareable: GITS_BASER, GITS_CBASER
#define CACHED_LPIS (7ul << 7 | 1ul << 10)          // the same: GICR_PROPBASER, GICR_PENDBASER
#define PAGE 0x10000ul

static u64 queue, typer;
static u32 next;
static u8 *properties;

// ---- commands

static void command(u64 d0, u64 d1, u64 d2, u64 d3)
{
    u64 *slot = (u64 *)(queue + next * SLOT);
    struct patience p = {0, 0};

    slot[0] = d0;
    slot[1] = d1;
    slot[2] = d2;
    slot[3] = d3;
    next = (next + 1) % SLOTS;
    dsb();
    wr64(machine.its + GITS_CWRITER, next * SLOT);
    while (!its_idle() && !out_of_patience(&p))
        ;
}

static u64 rdbase(u32 cpu) { return typer >> 19 & 1 ? cpus[cpu]->gicr : (u64)cpus[cpu]->procnum << 16; }
static u64 head(u32 number, u32 devid) { return number | (u64)devid << 32; }

bool its_idle(void) { return rd64(machine.its + GITS_CREADR) == next * SLOT; }
u32 its_queue_slots(void) { return SLOTS; }

void its_mapd(u32 devid, u32 eventid_bits, bool valid)
{
    u64 table = valid ? (u64)zalloc(16ul << eventid_bits, 256) : 0;     // entries are at most 16 bytes here

    command(head(MAPD, devid), eventid_bits - 1, table | (valid ? VALID : 0), 0);
}

void its_mapc(u32 icid, u32 cpu, bool valid) { command(MAPC, 0, icid | rdbase(cpu) | (valid ? VALID : 0), 0); }

void its_mapti(u32 devid, u32 eventid, u32 intid, u32 icid)
{
    command(head(MAPTI, devid), eventid | (u64)intid << 32, icid, 0);
}

void its_movi(u32 devid, u32 eventid, u32 icid) { command(head(MOVI, devid), eventid, icid, 0); }
void its_movall(u32 from_cpu, u32 to_cpu) { command(MOVALL, 0, rdbase(from_cpu), rdbase(to_cpu)); }
void its_discard(u32 devid, u32 eventid) { command(head(DISCARD, devid), eventid, 0, 0); }
void its_int(u32 devid, u32 eventid) { command(head(INT, devid), eventid, 0, 0); }
void its_clear(u32 devid, u32 eventid) { command(head(CLEAR, devid), eventid, 0, 0); }
void its_inv(u32 devid, u32 eventid) { command(head(INV, devid), eventid, 0, 0); }
void its_invall(u32 icid) { command(INVALL, 0, icid, 0); }
void its_sync(u32 cpu) { command(SYNC, 0, rdbase(cpu), 0); }

// ---- LPIs

void lpi_configure(u32 intid, u32 priority, bool enabled)
{
    *(volatile u8 *)(properties + intid - FIRST_LPI) = (priority & 0xfc) | enabled;
    dsb();
}

// ---- set-up

static void lpis_on(struct cpu *cpu)
{
    u64 pending = (u64)zalloc((1ul << LPI_ID_BITS) / 8, PAGE);

    wr64(cpu->gicr + GICR_PROPBASER, (u64)properties | CACHED_LPIS | (LPI_ID_BITS - 1));
    wr64(cpu->gicr + GICR_PENDBASER, pending | CACHED_LPIS | 1ul << 62);
    wr32(cpu->gicr + GICR_CTLR, rd32(cpu->gicr + GICR_CTLR) | 1);
    dsb();
}

void its_init(void)
{
    typer = rd64(machine.its + GITS_TYPER);
    wr32(machine.its + GITS_CTLR, 0);
    for (u32 i = 0; i < 8; i++) {
        u64 at = machine.its + GITS_BASER + 8 * i;
        u64 type = rd64(at) >> 56 & 7;

        if (type == 1 || type == 4)     // devices, collections
            wr64(at, (u64)zalloc(PAGE, PAGE) | VALID | CACHED | 2 << 8);
    }
    queue = (u64)zalloc(SLOTS * SLOT, PAGE);
    wr64(machine.its + GITS_CBASER, queue | VALID | CACHED);
    wr64(machine.its + GITS_CWRITER, 0);
    next = 0;
    properties = zalloc((1ul << LPI_ID_BITS) - FIRST_LPI, 0x1000);
    for (u32 i = 0; i < machine.cpus; i++)
        lpis_on(cpus[i]);
    wr32(machine.its + GITS_CTLR, 1);
    for (u32 i = 0; i < machine.cpus; i++)
        its_mapc(i, i, true);
}
