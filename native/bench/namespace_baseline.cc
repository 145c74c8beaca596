// spawn-15-dlmopen-clone: 15 times a library with its own copy of the C library in a namespace of its own, and a thread that
// runs it, until all have ended: as far as a process can go without a runtime of its own. Not static: dlmopen loads.
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "measure.h"

namespace {
constexpr int kMany = 15;  // the C library has 16 namespaces, and this program is in one

void many_namespaces(const char* library) {
  void* handles[kMany];
  pthread_t threads[kMany];
  for (int i = 0; i < kMany; i++) {
    handles[i] = dlmopen(LM_ID_NEWLM, library, RTLD_NOW | RTLD_LOCAL);
    void* entry = handles[i] ? dlsym(handles[i], "entry") : nullptr;
    if (!entry) {
      std::fprintf(stderr, "namespace_baseline: %s\n", dlerror());
      std::exit(1);
    }
    pthread_create(&threads[i], nullptr, reinterpret_cast<void* (*)(void*)>(entry), nullptr);
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  for (void* handle : handles) dlclose(handle);
}
}  // namespace

int main() {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return 1;
  const std::string library = std::string(self, static_cast<size_t>(std::strrchr(self, '/') - self)) + "/libspawned.so";
  dmi::bench::report("spawn-15-dlmopen-clone", dmi::bench::time_each(30, [&] { many_namespaces(library.c_str()); }), "ns");
}
