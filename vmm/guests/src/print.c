// Output on the PL011, and kvm-unit-tests' result lines.
#include "rt.h"

static char heading[32];
static u32 tests, failed, skipped;

static void put(char c) { wr8(UART, c); }

static void put_number(u64 value, u32 base, bool negative)
{
    char digits[20];
    u32 n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (negative)
        put('-');
    while (n)
        put(digits[--n]);
}

static void vprint(const char *f, __builtin_va_list *args)
{
    for (; *f; f++) {
        bool wide = false;
        u64 v;

        if (*f != '%') {
            put(*f);
            continue;
        }
        if (*++f == 'l') {
            wide = true;
            f++;
        }
        switch (*f) {
        case 's':
            for (const char *s = __builtin_va_arg(*args, const char *); *s; s++)
                put(*s);
            break;
        case 'c':
            put(__builtin_va_arg(*args, int));
            break;
        case 'd':
            v = wide ? __builtin_va_arg(*args, long) : __builtin_va_arg(*args, int);
            put_number((long)v < 0 ? -v : v, 10, (long)v < 0);
            break;
        case 'u':
        case 'x':
            v = wide ? __builtin_va_arg(*args, u64) : __builtin_va_arg(*args, u32);
            put_number(v, *f == 'u' ? 10 : 16, false);
            break;
        default:
            put(*f);
        }
    }
}

void print(const char *format, ...)
{
    __builtin_va_list args;

    __builtin_va_start(args, format);
    vprint(format, &args);
    __builtin_va_end(args);
}

void prefix(const char *guest)
{
    char *to = heading;

    for (const char *s = machine.gic == 2 ? "gicv2: " : "gicv3: "; *s; s++)
        *to++ = *s;
    for (; *guest; guest++)
        *to++ = *guest;
    *to = 0;
}

bool report(bool pass, const char *format, ...)
{
    __builtin_va_list args;

    tests++;
    failed += !pass;
    print("%s: %s: ", pass ? "PASS" : "FAIL", heading);
    __builtin_va_start(args, format);
    vprint(format, &args);
    __builtin_va_end(args);
    print("\n");
    return pass;
}

void skip(const char *format, ...)
{
    __builtin_va_list args;

    tests++;
    skipped++;
    print("SKIP: %s: ", heading);
    __builtin_va_start(args, format);
    vprint(format, &args);
    __builtin_va_end(args);
    print("\n");
}

int summary(void)
{
    print("SUMMARY: %u tests", tests);
    if (failed)
        print(", %u unexpected failures", failed);
    if (skipped)
        print(", %u skipped", skipped);
    print("\n");
    return tests == skipped ? 77 >> 1 : failed != 0;
}

_Noreturn void finish(int code)
{
    print("\nEXIT: STATUS=%d\n", code * 2 + 1);
    psci(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        ;
}
