# The image at DMI_GATE_VDSO_ADDRESS: the kernel's names for the time of day, each a jump through the gate's table. The
# offsets are those of struct dmi_gate; vdso.cc checks them.
        .text
        .macro entry name, offset
        .globl __vdso_\name, \name
        .weak \name
        .type __vdso_\name, @function
        .type \name, @function
        .p2align 4
__vdso_\name:
\name:
        movabs 0x100000000 + \offset, %rax
        jmp *%rax
        .size __vdso_\name, . - __vdso_\name
        .size \name, . - \name
        .endm

        entry clock_gettime, 56
        entry clock_getres, 64
        entry gettimeofday, 72
        entry time, 80
        entry getcpu, 88
        .section .note.GNU-stack, "", @progbits
