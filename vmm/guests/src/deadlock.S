// Sleeps with every interrupt masked and no timer set: nothing can wake it.
    .section .text.start, "ax"
    .globl _start
_start:
    msr     daifset, #15
1:  wfi
    b       1b
