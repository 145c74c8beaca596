// What of a processor binds a thread that has started on it.
#include <gtest/gtest.h>

#include <algorithm>

#include "host/cpu_features.h"

namespace dmi::host {
namespace {

TEST(CpuFeatures, AreThoseThatAProgramCanUse) {
  EXPECT_EQ(usable(" fpu vme sse sse2 hypervisor avx512f avx512_vnni tsc_known_freq ibrs sha_ni bmi2 pni arch_capabilities amx_tile"),
            (Features{"amx_tile", "avx512_vnni", "avx512f", "bmi2", "pni", "sha_ni", "sse", "sse2"}));
  EXPECT_EQ(usable(""), Features{});
}

TEST(CpuFeatures, OfThisMachineHaveWhatEveryOneOfItsKindHas) {
  const Features& all = *machine_features();
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  for (const char* name : {"sse2", "cx8", "4096-byte-pages"}) EXPECT_TRUE(std::binary_search(all.begin(), all.end(), name)) << name;
  if (std::binary_search(all.begin(), all.end(), "avx")) {
    // Registers of 256 bits are saved behind the header, everywhere.
    EXPECT_TRUE(std::binary_search(all.begin(), all.end(), "xsave-2@576"));
  }
  EXPECT_EQ(machine_features(), machine_features());
}

TEST(CpuFeatures, ThatAreLackingAreNamed) {
  EXPECT_EQ(lacking({"avx", "sse"}, {"avx", "avx2", "sse"}), "");
  EXPECT_EQ(lacking({"avx", "avx2", "sse"}, {"sse"}), "avx, avx2");
  EXPECT_EQ(lacking({}, {}), "");
  Features many;
  for (char c = 'a'; c < 'a' + 14; c++) many.emplace_back(1, c);
  EXPECT_EQ(lacking(many, {}), "a, b, c, d, e, f, g, h, i, j and 4 more");
}

}  // namespace
}  // namespace dmi::host
