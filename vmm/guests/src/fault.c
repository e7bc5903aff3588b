// Deliberate faults: external aborts, undefined instructions and registers, and what KVM cannot emulate.
// With the argument `isv0`: accesses to a device without a valid syndrome, which only a VMM like ours refuses.
#include "gic.h"
#include "rt.h"

#define NOWHERE 0x0bf00000ul        // no device
#define NO_RAM 0xa0000000ul         // mapped as memory, and none there

enum { EC_UNKNOWN = 0x00, EC_SVC = 0x15, EC_FETCH_ABORT = 0x21, EC_DATA_ABORT = 0x25, EC_BRK = 0x3c };
enum { EXTERNAL = 0x10, WRITTEN = 1 << 6, FNV = 1 << 10 };

static u32 ec(void) { return self()->esr >> 26; }

// Run `statement`, which should fault; true if it did.
#define faults(statement) \
    ({ struct cpu *me_ = self(); me_->esr = me_->far = me_->resume = 0; store(&me_->catching, 1); \
       statement; \
       bool done_ = !load(&me_->catching); me_->catching = 0; done_; })

static bool aborted(u64 far, bool written)
{
    struct cpu *me = self();

    return ec() == EC_DATA_ABORT && (me->esr & 0x3f) == EXTERNAL && !(me->esr & WRITTEN) == !written &&
           (me->esr & FNV || me->far == far);
}

static void test_aborts(void)
{
    void (*nowhere)(void) = (void (*)(void))NO_RAM;

    report(faults(rd32(NOWHERE)) && aborted(NOWHERE, false), "external abort: load where no device is");
    report(faults(wr32(NOWHERE + 8, 1)) && aborted(NOWHERE + 8, true), "external abort: store where no device is");
    report(faults(rd64(NOWHERE)) && aborted(NOWHERE, false), "external abort: 64 bits");
    report(faults(wr8(NOWHERE + 3, 1)) && aborted(NOWHERE + 3, true), "external abort: a byte");
    if (machine.ram + machine.ram_size > NO_RAM)
        return skip("external abort: there is RAM everywhere");
    report(faults(rd32(NO_RAM)) && aborted(NO_RAM, false), "external abort: load where no RAM is");
    report(faults(self()->resume = (u64)&&back; nowhere()) && ec() == EC_FETCH_ABORT &&
           (self()->esr & 0x3f) == EXTERNAL, "external abort: instruction fetch");
back:
    return;
}

static void test_undefined(void)
{
    report(faults(asm volatile("udf #0")) && ec() == EC_UNKNOWN, "undefined: an instruction");
    report(faults(sysreg_read(s3_0_c15_c15_7)) && ec() == EC_UNKNOWN, "undefined: reading a system register");
    report(faults(sysreg_write(s3_0_c15_c15_7, 0)) && ec() == EC_UNKNOWN, "undefined: writing a system register");
    report(faults(asm volatile("svc #0x123")) && ec() == EC_SVC && (self()->esr & 0xffff) == 0x123, "SVC");
    report(faults(asm volatile("brk #0x321")) && ec() == EC_BRK && (self()->esr & 0xffff) == 0x321, "BRK");
}

static void test_isv0(void)
{
    u64 at = machine.gicd, was = at;
    u32 a, b;

    if (!bootarg("isv0"))
        return skip("no valid syndrome: only asked for by `isv0`");
    report(faults(asm volatile("ldp %w0, %w1, [%2]" : "=r"(a), "=r"(b) : "r"(at))) && aborted(at, false),
           "no valid syndrome: a pair");
    report(faults(asm volatile("ldr %w0, [%1], #4" : "=&r"(a), "+&r"(at))) && aborted(was, false) && at == was,
           "no valid syndrome: with writeback");
    report(faults(asm volatile("ldxr %w0, [%1]" : "=r"(a) : "r"(at))) && aborted(at, false),
           "no valid syndrome: exclusive");
}

static void test_interrupts_after(void)
{
    forget();
    gic_sgi(1, 0);
    settle();
    report(count(0, 1) == 1, "afterwards interrupts still come");
}

static void fault_there(u64 where)
{
    if (!faults(rd32(where)) || !aborted(where, false))
        self()->count[0] = 1;
}

static void test_everywhere(void)
{
    bool ok = true;

    forget();
    for (u32 i = 0; i < machine.cpus; i++)
        ok &= run(i, fault_there, NOWHERE + 16 * i) && !count(i, 0);
    report(ok, "external abort: on each of %u CPUs", machine.cpus);
}

int guest(void)
{
    prefix("fault");
    boot_cpus();
    test_aborts();
    test_undefined();
    test_isv0();
    test_everywhere();
    test_interrupts_after();
    return summary();
}
