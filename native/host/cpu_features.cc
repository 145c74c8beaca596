#include "cpu_features.h"

#include <cpuid.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string_view>

namespace dmi::host {
namespace {

// Families by the beginnings of their names, so that new members need not be added here.
constexpr std::array<std::string_view, 5> kFamilies = {"avx", "sse", "ssse", "amx", "sha"};
constexpr std::string_view kOthers[] = {
    "3dnow", "3dnowext", "abm", "adx", "aes", "bmi1", "bmi2", "cldemote", "clflushopt", "clwb", "clzero", "cmov", "cx16", "cx8", "enqcmd", "f16c", "fma",
    "fma4", "fsgsbase", "fxsr", "gfni", "hle", "lahf_lm", "mmx", "mmxext", "movbe", "movdir64b", "movdiri", "ospke", "pclmulqdq", "pku", "pni", "popcnt",
    "rdpid", "rdrand", "rdseed", "rdtscp", "rtm", "serialize", "tbm", "tsxldtrk", "vaes", "vpclmulqdq", "waitpkg", "xop", "xsave", "xsavec", "xsaveopt"};
constexpr size_t kNamed = 10;

std::string kernel_flags() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("flags", 0) == 0) return line.substr(line.find(':') + 1);
  return {};
}

// Where each set of registers lies in what a signal leaves on a thread's stack: makers of processors differ.
void add_save_areas(Features& all) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return;
  uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const uint64_t enabled = static_cast<uint64_t>(high) << 32 | low;
  for (unsigned set = 2; set < 63; set++)  // the first two are the same everywhere
    if ((enabled >> set & 1) && __get_cpuid_count(13, set, &a, &b, &c, &d))
      all.push_back("xsave-" + std::to_string(set) + "@" + std::to_string(b));
}

Features read_machine() {
  Features all = usable(kernel_flags());
  add_save_areas(all);
  all.push_back(std::to_string(sysconf(_SC_PAGESIZE)) + "-byte-pages");
  if (const char* without = getenv("DMI_HOST_WITHOUT")) {
    std::istringstream names(without);
    for (std::string name; std::getline(names, name, ',');) std::erase(all, name);
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

std::shared_ptr<const Features> machine_features() {
  static const auto all = std::make_shared<const Features>(read_machine());
  return all;
}

Features usable(const std::string& flags) {
  Features found;
  std::istringstream words(flags);
  for (std::string word; words >> word;) {
    const bool family = std::any_of(kFamilies.begin(), kFamilies.end(), [&](std::string_view f) { return word.starts_with(f); });
    if (family || std::find(std::begin(kOthers), std::end(kOthers), word) != std::end(kOthers)) found.push_back(word);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string lacking(const Features& need, const Features& have) {
  Features missing;
  std::set_difference(need.begin(), need.end(), have.begin(), have.end(), std::back_inserter(missing));
  std::string text;
  for (size_t i = 0; i < missing.size() && i < kNamed; i++) text += (i ? ", " : "") + missing[i];
  if (missing.size() > kNamed) text += " and " + std::to_string(missing.size() - kNamed) + " more";
  return text;
}

}  // namespace dmi::host
