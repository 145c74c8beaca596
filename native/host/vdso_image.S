# The linked image of vdso.S, for vdso.cc to copy. DMI_VDSO_IMAGE is its path, from CMakeLists.txt.
        .section .rodata
        .globl dmi_vdso_image, dmi_vdso_image_end
        .p2align 4
dmi_vdso_image:
        .incbin DMI_VDSO_IMAGE
dmi_vdso_image_end:
        .section .note.GNU-stack, "", @progbits
