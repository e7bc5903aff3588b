// What every guest stands on: instructions, the machine as its device tree describes it, CPUs, output.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef _Bool bool;
#define true 1
#define false 0
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

// ---- instructions: a device access is one plain load or store, as a hypervisor without a decoder needs it

static inline u32 rd32(u64 a) { u32 v; asm volatile("ldr %w0, [%1]" : "=r"(v) : "r"(a) : "memory"); return v; }
static inline u64 rd64(u64 a) { u64 v; asm volatile("ldr %0, [%1]" : "=r"(v) : "r"(a) : "memory"); return v; }
static inline void wr8(u64 a, u8 v) { asm volatile("strb %w0, [%1]" :: "r"(v), "r"(a) : "memory"); }
static inline void wr32(u64 a, u32 v) { asm volatile("str %w0, [%1]" :: "r"(v), "r"(a) : "memory"); }
static inline void wr64(u64 a, u64 v) { asm volatile("str %0, [%1]" :: "r"(v), "r"(a) : "memory"); }

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define sysreg_read(name) ({ u64 v_; asm volatile("mrs %0, " TEXT(name) : "=r"(v_) :: "memory"); v_; })
#define sysreg_write(name, value) asm volatile("msr " TEXT(name) ", %0\n\tisb" :: "r"((u64)(value)) : "memory")

static inline void dsb(void) { asm volatile("dsb sy" ::: "memory"); }
static inline void isb(void) { asm volatile("isb" ::: "memory"); }
static inline void wfi(void) { asm volatile("dsb sy\n\twfi" ::: "memory"); }
static inline void irq_enable(void) { asm volatile("msr daifclr, #2\n\tisb" ::: "memory"); }
static inline void irq_disable(void) { asm volatile("msr daifset, #2\n\tisb" ::: "memory"); }

#define load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

// ---- the machine

#define MAX_CPUS 128
#define UART 0x09000000ul
#define UART_SPI 33
#define FIRST_LPI 8192
#define SPURIOUS 1023

struct machine {
    u32 cpus;
    u32 gic;                        // 2 or 3
    u64 gicd, gicc, its, msi;       // 0: not there
    struct { u64 base, size; } gicr[2];
    u64 ram, ram_size;
    u64 mpidr[MAX_CPUS];            // affinity fields only
    char bootargs[256];
};
extern struct machine machine;

void fdt_read(const void *fdt);
bool bootarg(const char *word);

// ---- CPUs

#define LOGGED 256
#define LPIS 96                     // LPIs that are counted
#define COUNTED (288 + LPIS)

struct cpu {
    u64 stack;                      // first: start.S loads it
    u32 index;
    u64 mpidr;
    u64 gicr;                       // GICv3: this CPU's redistributor
    u32 procnum;                    // GICv3: as the ITS numbers it
    u32 online;
    void (*job)(u64);               // null: idle
    u64 argument;
    u32 watched, timed_out;         // the watchdog of sleep_until() is set, has fired
    u32 spurious;
    u32 count[COUNTED];             // interrupts handled, by slot()
    u8 sources[16];                 // GICv2: CPUs whose SGI was seen
    u32 logged;
    u16 log[LOGGED];                // INTIDs in the order handled
    u32 catching;                   // exceptions are expected and recorded below
    u64 esr, far, elr;
    u64 resume;                     // where a caught exception returns to; 0: the next instruction
};
extern struct cpu *cpus[MAX_CPUS];

static inline struct cpu *self(void) { return (struct cpu *)sysreg_read(tpidr_el1); }

void boot_cpus(void);                                   // all of them; each idles in WFI, interrupts on
void start(u32 cpu, void (*job)(u64), u64 argument);    // on a secondary; the job begins with interrupts off
bool finished(u32 cpu);                                 // waits; false if it took too long
bool run(u32 cpu, void (*job)(u64), u64 argument);      // both; on CPU 0 a plain call

// ---- interrupts taken

struct frame { u64 x[19], x29, x30, elr, spsr, pad; };

typedef void irq_handler(u32 iar);
extern irq_handler *on_irq;         // default: irq_default
void irq_default(u32 iar);          // log it, end it
void irq_log(u32 iar);
static inline u32 slot(u32 intid) { return intid < 288 ? intid : intid - FIRST_LPI + 288; }
u32 count(u32 cpu, u32 intid);
void forget(void);                  // every CPU's counts and logs
bool in_order(u32 cpu, const u16 *intids, u32 n);   // exactly these were handled, in this order

void settle(void);                  // interrupts on for a moment, so that what is deliverable here is delivered
void delay_us(u32 us);

// Wait, with interrupts on.
#define WATCHDOG_S 1
struct patience { u64 deadline; u32 spins; };
bool out_of_patience(struct patience *p);
#define wait_until(condition) \
    ({ struct patience p_ = {0, 0}; bool ok_; while (!(ok_ = (condition)) && !out_of_patience(&p_)); ok_; })

// Sleep in WFI with interrupts on; the virtual timer ends a sleep that lasts too long.
void watchdog_on(void);
void watchdog_off(void);
#define sleep_until(condition) \
    ({ watchdog_on(); \
       while (!(condition) && !load(&self()->timed_out)) { wfi(); irq_enable(); irq_disable(); } \
       watchdog_off(); !load(&self()->timed_out) || (condition); })

// ---- PSCI

#define PSCI_VERSION 0x84000000u
#define PSCI_CPU_OFF 0x84000002u
#define PSCI_CPU_ON 0xc4000003u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u
long psci(u32 function, u64 a, u64 b, u64 c);

// ---- memory and output; only CPU 0 prints

void *zalloc(u64 bytes, u64 align);
void *memset(void *to, int byte, u64 n);
void *memcpy(void *to, const void *from, u64 n);
bool same(const char *a, const char *b);
void print(const char *format, ...);                    // %s %c %d %u %x, and l for 64 bits

void prefix(const char *guest);
bool report(bool pass, const char *format, ...);
void skip(const char *format, ...);
int summary(void);                                      // kvm-unit-tests' exit code
_Noreturn void finish(int code);                        // EXIT: STATUS=..., then power off
#define CODE_ABORT 63

int guest(void);                                        // what each image defines; its exit code
