// Never ends.
    .section .text.start, "ax"
    .globl _start
_start:
    b       .
