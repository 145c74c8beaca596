# Where a guest stands between its own code and a handler of its; see signal_frames.h. All on the guest's stack or with its FS base.
        .text
# A guest that has a signal to take goes on here, with all its registers as they are to be, and faults at once: the kernel's frame of
# that fault is what the handler's frame is made of.
        .globl dmi_signal_stop
        .type dmi_signal_stop, @function
dmi_signal_stop:
        ud2
        .size dmi_signal_stop, . - dmi_signal_stop

# Behind a switch frame that holds what the kernel gives a handler: RBX = signal, R12 = siginfo, R13 = ucontext, R14 = handler. RSP is at
# the handler's return address.
        .globl dmi_signal_enter
        .type dmi_signal_enter, @function
dmi_signal_enter:
        mov %rbx, %rdi
        mov %r12, %rsi
        mov %r13, %rdx
        xor %eax, %eax
        cld
        jmp *%r14
        .size dmi_signal_enter, . - dmi_signal_enter

# Behind a switch frame: RBX = the ucontext of a frame to be restored, by the kernel, on the worker where this happens to run.
        .globl dmi_signal_leave
        .type dmi_signal_leave, @function
dmi_signal_leave:
        mov %rbx, %rdi
        call dmi_settle_signal_frame
        mov %rbx, %rsp
        mov $15, %eax                   # rt_sigreturn
        syscall
        ud2
        .size dmi_signal_leave, . - dmi_signal_leave

# dmi_abandon_guest for one whose floating point may be what has faulted: an x87 exception that is pending would come again at the next
# instruction that looks for it.
        .globl dmi_abandon_faulted
        .type dmi_abandon_faulted, @function
dmi_abandon_faulted:
        fninit
        jmp dmi_abandon_guest
        .size dmi_abandon_faulted, . - dmi_abandon_faulted
        .section .note.GNU-stack, "", @progbits
