# Switching stacks; see context.h for the frames and offsets. Everything here runs with signals on: the timer's handler
# sees RIP outside the thread zone and leaves us alone.
        .text
        .globl dmi_switch_in
        .type dmi_switch_in, @function
dmi_switch_in:
        push %rbp
        push %rbx
        push %r12
        push %r13
        push %r14
        push %r15
        sub $8, %rsp
        stmxcsr (%rsp)
        fnstcw 4(%rsp)
        mov %rsp, %gs:24
        mov %gs:8, %rcx
        mov 32(%rcx), %rax
        mov (%rcx), %rsp
        pop %rdx
        wrfsbase %rdx
        ldmxcsr (%rsp)
        fldcw 4(%rsp)
.Lrestored:
        add $8, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbx
        pop %rbp
        xor %edx, %edx          # a program's entry point takes RDX as a function to call at exit
        ret
        .size dmi_switch_in, . - dmi_switch_in

        .globl dmi_gate_call
        .type dmi_gate_call, @function
dmi_gate_call:
        test %rdi, %rdi
        je .Lyield
        mov %rsi, %rdx
        mov %rdi, %rsi
        xor %edi, %edi          # Reason::Call
        .globl dmi_switch_out
        .type dmi_switch_out, @function
dmi_switch_out:
        push %rbp
        push %rbx
        push %r12
        push %r13
        push %r14
        push %r15
        sub $8, %rsp
        stmxcsr (%rsp)
        fnstcw 4(%rsp)
        rdfsbase %rax
        push %rax
        mov %gs:8, %rcx
        mov %rsp, (%rcx)
        mov %rdi, 8(%rcx)
        mov %rsi, 16(%rcx)
        mov %rdx, 24(%rcx)
        mov %gs:16, %rax
        wrfsbase %rax
        .globl dmi_abandon_guest
dmi_abandon_guest:
        mov %gs:24, %rsp
        ldmxcsr (%rsp)
        fldcw 4(%rsp)
        add $8, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbx
        pop %rbp
        cld
        ret
        .size dmi_switch_out, . - dmi_switch_out
        .size dmi_gate_call, . - dmi_gate_call

# DMI_G_YIELD: to the next guest of this worker if that can be done without the worker. The guest's stack is left before the
# guest goes into the queue, where another worker may find it.
.Lyield:
        push %rbp
        push %rbx
        push %r12
        push %r13
        push %r14
        push %r15
        sub $8, %rsp
        stmxcsr (%rsp)
        fnstcw 4(%rsp)
        rdfsbase %rax
        push %rax
        mov %gs:8, %rcx
        mov %rsp, (%rcx)
        xor %eax, %eax
        mov %rax, 8(%rcx)       # Reason::Call, number 0, for the worker
        mov %rax, 16(%rcx)
        mov %rax, 24(%rcx)
        mov %gs:0, %rdi
        mov 8(%rsp), %rbx       # MXCSR and x87 control word, in the lower six bytes
        mov %gs:24, %rsp
        call dmi_pass_on
        mov %rax, %rcx
        test %rax, %rax
        je .Lto_worker
        # To the next guest as in dmi_switch_in, but for control words that are what they are already: loading them takes longer
        # than all else here.
        mov 32(%rcx), %rax
        mov (%rcx), %rsp
        pop %rdx
        wrfsbase %rdx
        xor (%rsp), %rbx
        shl $16, %rbx
        je .Lrestored
        ldmxcsr (%rsp)
        fldcw 4(%rsp)
        jmp .Lrestored
.Lto_worker:
        mov %gs:16, %rax
        wrfsbase %rax
        jmp dmi_abandon_guest
        .section .note.GNU-stack, "", @progbits
