// The ITS as its own driver sees it: tables, commands, LPI configuration.
#pragma once
#include "rt.h"

#define LPI_ID_BITS 14

void its_init(void);                    // tables, queue, LPIs on for every CPU; collection i goes to CPU i

void its_mapd(u32 devid, u32 eventid_bits, bool valid);
void its_mapc(u32 icid, u32 cpu, bool valid);
void its_mapti(u32 devid, u32 eventid, u32 intid, u32 icid);
void its_movi(u32 devid, u32 eventid, u32 icid);
void its_movall(u32 from_cpu, u32 to_cpu);
void its_discard(u32 devid, u32 eventid);
void its_int(u32 devid, u32 eventid);
void its_clear(u32 devid, u32 eventid);
void its_inv(u32 devid, u32 eventid);
void its_invall(u32 icid);
void its_sync(u32 cpu);
bool its_idle(void);                    // every command so far has been taken
u32 its_queue_slots(void);

void lpi_configure(u32 intid, u32 priority, bool enabled);  // in memory; INV or INVALL tells the ITS
