# int dmi_zero_page(const void* page): 1: it is all zeros; 0: it is not; -1: it cannot be read. The fault handler (signals.cc) takes
# whoever faults in here to the last answer.
        .text
        .globl dmi_zero_page
        .type dmi_zero_page, @function
dmi_zero_page:
        cmpq $0, (%rdi)         # most pages with something in them say so at once
        jne .Lsomething
        pxor %xmm1, %xmm1
        lea 4096(%rdi), %rsi
.Lline:
        movdqa (%rdi), %xmm0
        por 16(%rdi), %xmm0
        por 32(%rdi), %xmm0
        por 48(%rdi), %xmm0
        pcmpeqb %xmm1, %xmm0
        pmovmskb %xmm0, %eax
        cmp $0xffff, %eax
        jne .Lsomething
        add $64, %rdi
        cmp %rsi, %rdi
        jne .Lline
        mov $1, %eax
        ret
.Lsomething:
        xor %eax, %eax
        ret
        .globl dmi_zero_page_unreadable
dmi_zero_page_unreadable:
        mov $-1, %eax
        ret
        .size dmi_zero_page, . - dmi_zero_page
        .section .note.GNU-stack, "", @progbits
