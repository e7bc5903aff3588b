// The generic timer: counter, virtual and physical timer.
#pragma once
#include "rt.h"

#define TIMER_VIRT 27
#define TIMER_PHYS 30

enum { TIMER_ENABLE = 1, TIMER_IMASK = 2, TIMER_ISTATUS = 4 };

static inline u64 now(void) { isb(); return sysreg_read(cntvct_el0); }
static inline u64 us_to_ticks(u64 us) { return sysreg_read(cntfrq_el0) * us / 1000000; }

static inline void virt_arm(u64 ticks)
{
    sysreg_write(cntv_cval_el0, now() + ticks);
    sysreg_write(cntv_ctl_el0, TIMER_ENABLE);
}

static inline void virt_stop(void) { sysreg_write(cntv_ctl_el0, 0); }
