// Entry of every guest: MMU on over an identity map, stack, vectors, then C.
// The map is one table of four 1 GB blocks: devices, RAM, a hole to fault in, nothing.

    .section .text.start, "ax"
    .globl _start
_start:                                 // x0: device tree
    msr     daifset, #15
    mov     x19, x0
    bl      mmu_on
    adrp    x1, __bss_start
    add     x1, x1, :lo12:__bss_start
    adrp    x2, __bss_end
    add     x2, x2, :lo12:__bss_end
1:  cmp     x1, x2
    b.hs    2f
    str     xzr, [x1], #8
    b       1b
2:  adrp    x1, boot_stack_top
    add     sp, x1, :lo12:boot_stack_top
    mov     x0, x19
    bl      boot
    b       .

    .globl secondary_entry
secondary_entry:                        // x0: this CPU's struct cpu, whose first field is its stack
    msr     daifset, #15
    mov     x19, x0
    bl      mmu_on
    ldr     x1, [x19]
    mov     sp, x1
    msr     tpidr_el1, x19
    mov     x0, x19
    bl      secondary
    b       .

mmu_on:
    mov     x1, #0xff04                 // attribute 0: Device-nGnRE, 1: Normal write-back
    msr     mair_el1, x1
    ldr     x1, =TCR
    msr     tcr_el1, x1
    adrp    x1, identity
    add     x1, x1, :lo12:identity
    msr     ttbr0_el1, x1
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    isb
    tlbi    vmalle1
    dsb     nsh
    ldr     x1, =SCTLR
    msr     sctlr_el1, x1
    isb
    ret

    .set TCR, 32 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32   // 4 GB, write-back walks, no TTBR1, 40-bit PA
    .set SCTLR, 0x30d00800 | 1 << 12 | 1 << 2 | 1                   // I, C, M and what is RES1

    .set FRAME_BYTES, 192               // struct frame

    .macro  enter, handler
    sub     sp, sp, #FRAME_BYTES
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x29, [sp, #144]
    mrs     x0, elr_el1
    mrs     x1, spsr_el1
    stp     x30, x0, [sp, #160]
    str     x1, [sp, #176]
    mov     x0, sp
    bl      \handler
    b       leave
    .endm

leave:
    ldp     x30, x0, [sp, #160]
    ldr     x1, [sp, #176]
    msr     elr_el1, x0
    msr     spsr_el1, x1
    ldp     x18, x29, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp, #0]
    add     sp, sp, #FRAME_BYTES
    eret

    .macro  vector, handler
    .balign 128
    enter   \handler
    .endm

    .section .text.vectors, "ax"
    .balign 2048
vectors:
    .rept   4                           // SP_EL0: not used
    vector  unexpected
    .endr
    vector  sync_exception              // SP_EL1
    vector  irq_exception
    vector  unexpected
    vector  unexpected
    .rept   8                           // EL0: not used
    vector  unexpected
    .endr

    .section .rodata.identity, "a"
    .balign 64
identity:
    .quad   0x00000000 | 1 << 54 | 1 << 53 | 1 << 10 | 1                  // device, never executed
    .quad   0x40000000 | 1 << 10 | 3 << 8 | 1 << 2 | 1                    // RAM
    .quad   0x80000000 | 1 << 10 | 3 << 8 | 1 << 2 | 1                    // no RAM in small machines
    .quad   0

    .bss
    .balign 16
    .skip   4096
boot_stack_top:
