/* vector CHUNKS: never calls anything while it computes: AVX (and AVX-512 where there is) registers hold the state across every
 * preemption; each chunk is compared bit by bit with the same computation in integers. */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t next(uint64_t x) { return (x ^ (x << 13)) + 0x9e3779b97f4a7c15u; }

__attribute__((target("avx2"), noinline)) static void run_avx2(uint64_t *state, long steps) {
  __m256i v[8];
  for (int i = 0; i < 8; i++) v[i] = _mm256_loadu_si256((const __m256i *)(state + 4 * i));
  const __m256i add = _mm256_set1_epi64x((long long)0x9e3779b97f4a7c15u);
  for (long s = 0; s < steps; s++)
    for (int i = 0; i < 8; i++) v[i] = _mm256_add_epi64(_mm256_xor_si256(v[i], _mm256_slli_epi64(v[i], 13)), add);
  for (int i = 0; i < 8; i++) _mm256_storeu_si256((__m256i *)(state + 4 * i), v[i]);
}
__attribute__((target("avx512f"), noinline)) static void run_avx512(uint64_t *state, long steps) {
  __m512i v[4];
  for (int i = 0; i < 4; i++) v[i] = _mm512_loadu_si512((const void *)(state + 8 * i));
  const __m512i add = _mm512_set1_epi64((long long)0x9e3779b97f4a7c15u);
  for (long s = 0; s < steps; s++)
    for (int i = 0; i < 4; i++) v[i] = _mm512_add_epi64(_mm512_xor_si512(v[i], _mm512_slli_epi64(v[i], 13)), add);
  for (int i = 0; i < 4; i++) _mm512_storeu_si512((void *)(state + 8 * i), v[i]);
}

int main(int argc, char **argv) {
  const int chunks = argc > 1 ? atoi(argv[1]) : 10, wide = __builtin_cpu_supports("avx512f");
  if (!__builtin_cpu_supports("avx2")) return 0;
  static uint64_t fast[32], slow[32];
  for (int i = 0; i < 32; i++) fast[i] = slow[i] = (uint64_t)i;
  double x = 1;
  for (int c = 0; c < chunks; c++) {
    const long steps = 3000000;
    if (wide) run_avx512(fast, steps);
    else run_avx2(fast, steps);
    for (int i = 0; i < 32; i++)
      for (long s = 0; s < steps; s += 1)
        if (c % 8 == 0) slow[i] = next(slow[i]);
        else break;
    if (c % 8 == 0) {
      if (memcmp(fast, slow, sizeof fast) != 0) {
        printf("FAILED chunk %d\n", c);
        return 1;
      }
    } else {
      memcpy(slow, fast, sizeof fast);
    }
    x = x * 1.0000001 + 1e-9;
  }
  printf("done %d %.17g\n", chunks, x);
  return 31;
}
