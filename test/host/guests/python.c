/* python ARGUMENT...: CPython from its shared library, as Debian's own executable is not position independent. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
  void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_GLOBAL);
  int (*run)(int, char **) = library ? (int (*)(int, char **))dlsym(library, "Py_BytesMain") : NULL;
  if (!run) return fprintf(stderr, "%s\n", dlerror()), 99;
  return run(argc, argv);
}
