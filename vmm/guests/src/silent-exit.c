// Ends as its arguments say: a number n prints EXIT: STATUS=n; `reset` and `cpu-off` end by PSCI; nothing: power off.
#include "rt.h"

int guest(void)
{
    if (bootarg("reset"))
        psci(PSCI_SYSTEM_RESET, 0, 0, 0);
    if (bootarg("cpu-off"))
        psci(PSCI_CPU_OFF, 0, 0, 0);
    if (machine.bootargs[0])
        print("\nEXIT: STATUS=%s\n", machine.bootargs);
    psci(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        ;
}
