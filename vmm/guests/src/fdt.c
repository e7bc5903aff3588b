// The flattened device tree: as much of it as says what machine this is.
#include "rt.h"

struct machine machine;

enum { BEGIN_NODE = 1, END_NODE = 2, PROP = 3, NOP = 4 };

struct node {
    const char *compatible;     // a list of strings, each ended by 0
    u32 compatible_bytes;
    const u32 *reg;
    u32 reg_bytes;
    const char *device_type, *bootargs;
};

static u32 be32(const u32 *p) { return __builtin_bswap32(*p); }
static u64 be64(const u32 *p) { return (u64)be32(p) << 32 | be32(p + 1); }

bool same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static u32 length(const char *s)
{
    u32 n = 0;

    while (s[n])
        n++;
    return n;
}

bool bootarg(const char *word)
{
    const char *s = machine.bootargs;

    while (*s) {
        const char *w = word;

        while (*s == ' ')
            s++;
        while (*w && *s == *w)
            s++, w++;
        if (!*w && (!*s || *s == ' '))
            return true;
        while (*s && *s != ' ')
            s++;
    }
    return false;
}

static bool is(const struct node *node, const char *compatible)
{
    const char *end = node->compatible + node->compatible_bytes;

    for (const char *s = node->compatible; s < end; s += length(s) + 1)
        if (same(s, compatible))
            return true;
    return false;
}

// Addresses and sizes are two cells each on this board.
static void learn(const struct node *node)
{
    const u32 *reg = node->reg;

    if (node->bootargs) {
        u32 n = length(node->bootargs);

        memcpy(machine.bootargs, node->bootargs, n < 255 ? n : 255);
    }
    if (!reg)
        return;
    if (node->device_type && same(node->device_type, "cpu") && machine.cpus < MAX_CPUS) {
        machine.mpidr[machine.cpus++] = node->reg_bytes == 8 ? be64(reg) : be32(reg);
    } else if (node->device_type && same(node->device_type, "memory") && !machine.ram_size) {
        machine.ram = be64(reg);
        machine.ram_size = be64(reg + 2);
    } else if (is(node, "arm,gic-v3")) {
        machine.gic = 3;
        machine.gicd = be64(reg);
        for (u32 i = 0; i < LEN(machine.gicr) && (i + 2) * 16 <= node->reg_bytes; i++) {
            machine.gicr[i].base = be64(reg + 4 + 4 * i);
            machine.gicr[i].size = be64(reg + 6 + 4 * i);
        }
    } else if (is(node, "arm,cortex-a15-gic") || is(node, "arm,gic-400")) {
        machine.gic = 2;
        machine.gicd = be64(reg);
        machine.gicc = be64(reg + 4);
    } else if (is(node, "arm,gic-v3-its")) {
        machine.its = be64(reg);
    } else if (is(node, "vgic,msi-source")) {
        machine.msi = be64(reg);
    }
}

void fdt_read(const void *fdt)
{
    const u32 *header = fdt;
    const u32 *at = fdt + be32(header + 2);
    const char *strings = fdt + be32(header + 3);
    struct node nodes[8] = {0};
    u32 depth = 0;

    for (;;) {
        u32 token = be32(at++);

        if (token == BEGIN_NODE) {
            struct node *node = &nodes[++depth % 8];

            if (depth > 1) {                        // properties come before subnodes
                learn(&nodes[(depth - 1) % 8]);
                nodes[(depth - 1) % 8] = (struct node){0};
            }
            *node = (struct node){0};
            at += (length((const char *)at) + 4) / 4;
        } else if (token == END_NODE) {
            learn(&nodes[depth % 8]);
            nodes[depth % 8] = (struct node){0};
            depth--;
        } else if (token == PROP) {
            struct node *node = &nodes[depth % 8];
            u32 bytes = be32(at);
            const char *name = strings + be32(at + 1);
            const void *value = at + 2;

            if (same(name, "compatible")) {
                node->compatible = value;
                node->compatible_bytes = bytes;
            } else if (same(name, "reg")) {
                node->reg = value;
                node->reg_bytes = bytes;
            } else if (same(name, "device_type")) {
                node->device_type = value;
            } else if (same(name, "bootargs")) {
                node->bootargs = value;
            }
            at += 2 + (bytes + 3) / 4;
        } else if (token != NOP) {
            return;
        }
    }
}
