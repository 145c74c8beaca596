# Where guests enter the host without a signal, beside dmi_gate_call (switch.S): rewritten system call sites and the time
# of day. All run on the guest's stack with the guest's FS base.

# A rewritten site: RAX and the argument registers as for the kernel, RCX = where to return. Like the kernel, this keeps
# everything but RAX, RCX and R11 and stays off the red zone. What it pushes is a struct SystemCall (context.h).
#
# Vector and x87 registers go below it in the standard form of XSAVE(C): what any processor with the same state can restore.
        .set kVectorRoom, 2752          # bytes: legacy area, header and the standard offsets up to AVX-512
        .set kVectorMask, 0xe7          # x87, SSE, AVX, AVX-512
        .text
        .globl dmi_gate_system_call
        .type dmi_gate_system_call, @function
dmi_gate_system_call:
        mov %rsp, %r11
        lea -128(%rsp), %rsp
        push %r11
        push %rbp
        push %rcx
        push %r9
        push %r8
        push %r10
        push %rdx
        push %rsi
        push %rdi
        push %rax
        mov %rsp, %rbp
        sub $kVectorRoom, %rsp
        and $-64, %rsp
        xor %eax, %eax
        mov %rax, 512(%rsp)             # the header: XSAVE merges into it, XRSTOR wants its reserved bytes zero
        mov %rax, 520(%rsp)
        mov %rax, 528(%rsp)
        mov %rax, 536(%rsp)
        mov %rax, 544(%rsp)
        mov %rax, 552(%rsp)
        mov %rax, 560(%rsp)
        mov %rax, 568(%rsp)
        mov $kVectorMask, %eax
        xor %edx, %edx
        cmpb $0, dmi_have_xsavec
        je 1f
        xsavec64 (%rsp)
        jmp 2f
1:      xsave64 (%rsp)
2:      mov $1, %edi                    # Reason::Syscall
        mov %rbp, %rsi
        xor %edx, %edx                  # not dispatched
        call dmi_switch_out
        .globl dmi_gate_system_call_back
dmi_gate_system_call_back:
        mov %rax, (%rbp)
        mov $kVectorMask, %eax
        xor %edx, %edx
        xrstor64 (%rsp)
        mov %rbp, %rsp
        pop %rax
        pop %rdi
        pop %rsi
        pop %rdx
        pop %r10
        pop %r8
        pop %r9
        pop %rcx
        pop %rbp
        pop %rsp
        jmp *%rcx
        .size dmi_gate_system_call, . - dmi_gate_system_call

# The kernel's vDSO runs outside the thread zone, so the preemption signal leaves it alone and only marks the worker
# (WorkerBase::preempt_wanted, GS:32): look at the mark on the way out.
        .macro time_function name
        .globl dmi_gate_\name
        .type dmi_gate_\name, @function
dmi_gate_\name:
        push %rbp
        mov %rsp, %rbp
        call *dmi_\name
        cmpq $0, %gs:32
        jne dmi_give_way
        pop %rbp
        ret
        .size dmi_gate_\name, . - dmi_gate_\name
        .endm

        time_function clock_gettime
        time_function clock_getres
        time_function gettimeofday
        time_function time
        time_function getcpu

        .type dmi_give_way, @function
dmi_give_way:
        push %rax
        sub $8, %rsp
        xor %edi, %edi                  # DMI_G_YIELD
        xor %esi, %esi
        call dmi_gate_call
        add $8, %rsp
        pop %rax
        pop %rbp
        ret
        .size dmi_give_way, . - dmi_give_way

        .bss
        .globl dmi_have_xsavec
dmi_have_xsavec:
        .byte 0
        .section .note.GNU-stack, "", @progbits
