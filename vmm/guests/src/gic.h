// GICv2 and GICv3 behind one set of verbs.  An SGI or PPI is always the calling CPU's own.
#pragma once
#include "rt.h"

#define PRIORITY 0xa0       // what every interrupt has until a test says otherwise
#define PMR_ALL 0xf8

void gic_init(void);        // the distributor; every SPI off, edge, on CPU 0
void gic_cpu_init(void);    // this CPU's interface; SGIs on, PPIs off
void gic_distributor(bool on);
void gic_direct_sgis(void); // where GICv4.1 offers it: SGIs have no active state, and need no hypervisor to come

u32 gic_ack(void);          // IAR: an INTID, in GICv2 with an SGI's source
void gic_eoi(u32 iar);
void gic_dir(u32 iar);
u32 gic_hppir(void);
u32 gic_rpr(void);
void gic_pmr(u32 priority);
u32 gic_pmr_read(void);
void gic_bpr(u32 lowest_bit);   // preemption compares priority bits 7 to lowest_bit, 3 to 7
u32 gic_bpr_read(void);
void gic_eoi_mode(u32 mode);    // 1: EOI drops priority only, DIR deactivates
static inline u32 gic_intid(u32 iar) { return machine.gic == 2 ? iar & 0x3ff : iar & 0xffffff; }

void gic_sgi(u32 sgi, u32 cpu);
void gic_sgi_list(u32 sgi, u32 mask);   // CPUs 0 to 7 by bit
void gic_sgi_others(u32 sgi);

void gic_enable(u32 intid);
void gic_disable(u32 intid);
bool gic_enabled(u32 intid);
void gic_pend(u32 intid);               // not an SGI in GICv2
void gic_unpend(u32 intid);
bool gic_pending(u32 intid);
void gic_activate(u32 intid);
void gic_deactivate(u32 intid);
bool gic_active(u32 intid);
void gic_priority(u32 intid, u32 priority);
u32 gic_priority_read(u32 intid);
void gic_edge(u32 intid, bool edge);
bool gic_edge_read(u32 intid);
void gic_route(u32 spi, u32 cpu);
u32 gic_spis(void);                     // one more than the last SPI's INTID
