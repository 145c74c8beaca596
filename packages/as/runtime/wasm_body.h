/* wasm_body.h: what the C that wasm2c makes of a program is built on.
 *
 * The driver replaces wasm2c's own prelude by this file, for speed: linear memory has one constant address for the whole life of
 * the thread (memory.c reserves it), so an access is one instruction that the compiler may move, hoist and vectorise; there is no
 * bounds check on it. AssemblyScript checks arrays itself, so only `unchecked`, `load` and `store` can go astray: as in C.
 * Everything else traps as WebAssembly says, through dmi_ts_trap, which never returns.
 */
#ifndef DMI_TS_WASM_BODY_H
#define DMI_TS_WASM_BODY_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TRAP(x) (dmi_ts_trap(DMI_TS_##x), 0)
#define UNREACHABLE dmi_ts_trap(DMI_TS_UNREACHABLE)

/* Recursion without end is noticed here, before the stack's guard page: one compare per call. */
#define FUNC_PROLOGUE \
  if (UNLIKELY((uintptr_t)__builtin_frame_address(0) < dmi_ts_stack_limit)) dmi_ts_trap(DMI_TS_EXHAUSTION)
#define FUNC_EPILOGUE (void)0

#define CALL_INDIRECT(table, t, ft, x, ...)                                                                    \
  ((LIKELY((x) < table.size && table.data[x].func && table.data[x].func_type == func_types[ft]) || TRAP(CALL_INDIRECT)), \
   ((t)table.data[x].func)(__VA_ARGS__))

/* ---- linear memory; addresses are 33 bits at most: an index and a constant offset ---------------------------------- */
#define DEFINE_LOAD(name, stored, widened, result)                     \
  static inline result name(const wasm_rt_memory_t *m, u64 addr) {     \
    stored v;                                                          \
    (void)m;                                                           \
    memcpy(&v, dmi_ts_memory + addr, sizeof v);                        \
    return (result)(widened)v;                                         \
  }
#define DEFINE_STORE(name, stored, value_type)                               \
  static inline void name(wasm_rt_memory_t *m, u64 addr, value_type value) { \
    stored v = (stored)value;                                                \
    (void)m;                                                                 \
    memcpy(dmi_ts_memory + addr, &v, sizeof v);                              \
  }
DEFINE_LOAD(i32_load, u32, u32, u32)
DEFINE_LOAD(i64_load, u64, u64, u64)
DEFINE_LOAD(f32_load, f32, f32, f32)
DEFINE_LOAD(f64_load, f64, f64, f64)
DEFINE_LOAD(i32_load8_s, s8, s32, u32)
DEFINE_LOAD(i64_load8_s, s8, s64, u64)
DEFINE_LOAD(i32_load8_u, u8, u32, u32)
DEFINE_LOAD(i64_load8_u, u8, u64, u64)
DEFINE_LOAD(i32_load16_s, s16, s32, u32)
DEFINE_LOAD(i64_load16_s, s16, s64, u64)
DEFINE_LOAD(i32_load16_u, u16, u32, u32)
DEFINE_LOAD(i64_load16_u, u16, u64, u64)
DEFINE_LOAD(i64_load32_s, s32, s64, u64)
DEFINE_LOAD(i64_load32_u, u32, u64, u64)
DEFINE_STORE(i32_store, u32, u32)
DEFINE_STORE(i64_store, u64, u64)
DEFINE_STORE(f32_store, f32, f32)
DEFINE_STORE(f64_store, f64, f64)
DEFINE_STORE(i32_store8, u8, u32)
DEFINE_STORE(i32_store16, u16, u32)
DEFINE_STORE(i64_store8, u8, u64)
DEFINE_STORE(i64_store16, u16, u64)
DEFINE_STORE(i64_store32, u32, u64)

/* Bulk operations are checked: one compare for many bytes. */
static inline void range_check(const wasm_rt_memory_t *m, u32 start, u32 n) {
  if (UNLIKELY((u64)start + n > m->size)) dmi_ts_trap(DMI_TS_OOB);
}
#define LOAD_DATA(m, at, from, n)            \
  do {                                       \
    range_check(&(m), (at), (n));            \
    memcpy(dmi_ts_memory + (at), from, (n)); \
  } while (0)
static inline void memory_fill(wasm_rt_memory_t *m, u32 at, u32 value, u32 n) {
  range_check(m, at, n);
  memset(dmi_ts_memory + at, (int)value, n);
}
static inline void memory_copy(wasm_rt_memory_t *to, const wasm_rt_memory_t *from, u32 to_at, u32 from_at, u32 n) {
  range_check(to, to_at, n);
  range_check(from, from_at, n);
  memmove(dmi_ts_memory + to_at, dmi_ts_memory + from_at, n);
}

/* ---- the table of functions ------------------------------------------------------------------------------------- */
typedef struct {
  uint32_t func_type_index;
  wasm_rt_function_ptr_t func;
  size_t module_offset;
} wasm_elem_segment_expr_t;
static inline void funcref_table_init(wasm_rt_funcref_table_t *to, const wasm_elem_segment_expr_t *from, u32 from_size, u32 to_at,
                                      u32 from_at, u32 n, void *instance, const u32 *types) {
  if ((u64)from_at + n > from_size || (u64)to_at + n > to->size) dmi_ts_trap(DMI_TS_OOB);
  for (u32 i = 0; i < n; i++) {
    const wasm_elem_segment_expr_t *e = &from[from_at + i];
    to->data[to_at + i] = (wasm_rt_funcref_t){types[e->func_type_index], e->func, (char *)instance + e->module_offset};
  }
}

/* ---- integers --------------------------------------------------------------------------------------------------- */
#define I32_CLZ(x) ((x) ? __builtin_clz(x) : 32)
#define I64_CLZ(x) ((x) ? __builtin_clzll(x) : 64)
#define I32_CTZ(x) ((x) ? __builtin_ctz(x) : 32)
#define I64_CTZ(x) ((x) ? __builtin_ctzll(x) : 64)
#define I32_POPCNT(x) (__builtin_popcount(x))
#define I64_POPCNT(x) (__builtin_popcountll(x))
#define DEFINE_DIVISION(bits, min)                                                  \
  static inline u##bits i##bits##_div_s(s##bits x, s##bits y) {                     \
    if (UNLIKELY(y == 0)) dmi_ts_trap(DMI_TS_DIV_BY_ZERO);                          \
    if (UNLIKELY(y == -1 && x == (min))) dmi_ts_trap(DMI_TS_INT_OVERFLOW);          \
    return (u##bits)(x / y);                                                        \
  }                                                                                 \
  static inline u##bits i##bits##_rem_s(s##bits x, s##bits y) {                     \
    if (UNLIKELY(y == 0)) dmi_ts_trap(DMI_TS_DIV_BY_ZERO);                          \
    return y == -1 ? 0 : (u##bits)(x % y);                                          \
  }
DEFINE_DIVISION(32, INT32_MIN)
DEFINE_DIVISION(64, INT64_MIN)
#define I32_DIV_S(x, y) i32_div_s((s32)(x), (s32)(y))
#define I64_DIV_S(x, y) i64_div_s((s64)(x), (s64)(y))
#define I32_REM_S(x, y) i32_rem_s((s32)(x), (s32)(y))
#define I64_REM_S(x, y) i64_rem_s((s64)(x), (s64)(y))
#define DIV_U(x, y) (UNLIKELY((y) == 0) ? TRAP(DIV_BY_ZERO) : (x) / (y))
#define REM_U(x, y) (UNLIKELY((y) == 0) ? TRAP(DIV_BY_ZERO) : (x) % (y))
#define I32_ROTL(x, y) (((x) << ((y) & 31)) | ((x) >> (-(y) & 31)))
#define I32_ROTR(x, y) (((x) >> ((y) & 31)) | ((x) << (-(y) & 31)))
#define I64_ROTL(x, y) (((x) << ((y) & 63)) | ((x) >> (-(y) & 63)))
#define I64_ROTR(x, y) (((x) >> ((y) & 63)) | ((x) << (-(y) & 63)))

/* ---- floating point ------------------------------------------------------------------------------------------------ */
#define DEFINE_MIN_MAX(type, suffix)                                                             \
  static inline type wasm_min##suffix(type x, type y) {                                          \
    if (UNLIKELY(x != x || y != y)) return (type)NAN;                                            \
    if (UNLIKELY(x == 0 && y == 0)) return signbit(x) ? x : y;                                   \
    return x < y ? x : y;                                                                        \
  }                                                                                              \
  static inline type wasm_max##suffix(type x, type y) {                                          \
    if (UNLIKELY(x != x || y != y)) return (type)NAN;                                            \
    if (UNLIKELY(x == 0 && y == 0)) return signbit(x) ? y : x;                                   \
    return x > y ? x : y;                                                                        \
  }
DEFINE_MIN_MAX(f64, )
DEFINE_MIN_MAX(f32, f)
#define FMIN(x, y) (sizeof(x) == 4 ? wasm_minf((f32)(x), (f32)(y)) : wasm_min((x), (y)))
#define FMAX(x, y) (sizeof(x) == 4 ? wasm_maxf((f32)(x), (f32)(y)) : wasm_max((x), (y)))

/* Truncation: `low` and `high` are the first values that do not fit. */
#define DEFINE_TRUNC(name, integer, unsigned_integer, real, low, high, least, most)                        \
  static inline unsigned_integer name##_checked(real x) {                                                  \
    if (UNLIKELY(x != x)) dmi_ts_trap(DMI_TS_INVALID_CONVERSION);                                          \
    if (UNLIKELY(!(x > (low) && x < (high)))) dmi_ts_trap(DMI_TS_INT_OVERFLOW);                            \
    return (unsigned_integer)(integer)x;                                                                   \
  }                                                                                                        \
  static inline unsigned_integer name##_saturated(real x) {                                                \
    if (UNLIKELY(x != x)) return 0;                                                                        \
    if (UNLIKELY(!(x > (low)))) return (unsigned_integer)(least);                                          \
    return UNLIKELY(!(x < (high))) ? (unsigned_integer)(most) : (unsigned_integer)(integer)x;              \
  }
/* The 32-bit types of f32 and the 64-bit ones lose the last bits of `low`: nextafter of the least that fits. */
DEFINE_TRUNC(i32_s_f32, s32, u32, f32, -2147483904.f, 2147483648.f, INT32_MIN, INT32_MAX)
DEFINE_TRUNC(i32_s_f64, s32, u32, f64, -2147483649., 2147483648., INT32_MIN, INT32_MAX)
DEFINE_TRUNC(i32_u_f32, u32, u32, f32, -1.f, 4294967296.f, 0, UINT32_MAX)
DEFINE_TRUNC(i32_u_f64, u32, u32, f64, -1., 4294967296., 0, UINT32_MAX)
DEFINE_TRUNC(i64_s_f32, s64, u64, f32, -9223373136366403584.f, 9223372036854775808.f, INT64_MIN, INT64_MAX)
DEFINE_TRUNC(i64_s_f64, s64, u64, f64, -9223372036854777856., 9223372036854775808., INT64_MIN, INT64_MAX)
DEFINE_TRUNC(i64_u_f32, u64, u64, f32, -1.f, 18446744073709551616.f, 0, UINT64_MAX)
DEFINE_TRUNC(i64_u_f64, u64, u64, f64, -1., 18446744073709551616., 0, UINT64_MAX)
#define I32_TRUNC_S_F32 i32_s_f32_checked
#define I32_TRUNC_S_F64 i32_s_f64_checked
#define I32_TRUNC_U_F32 i32_u_f32_checked
#define I32_TRUNC_U_F64 i32_u_f64_checked
#define I64_TRUNC_S_F32 i64_s_f32_checked
#define I64_TRUNC_S_F64 i64_s_f64_checked
#define I64_TRUNC_U_F32 i64_u_f32_checked
#define I64_TRUNC_U_F64 i64_u_f64_checked
#define I32_TRUNC_SAT_S_F32 i32_s_f32_saturated
#define I32_TRUNC_SAT_S_F64 i32_s_f64_saturated
#define I32_TRUNC_SAT_U_F32 i32_u_f32_saturated
#define I32_TRUNC_SAT_U_F64 i32_u_f64_saturated
#define I64_TRUNC_SAT_S_F32 i64_s_f32_saturated
#define I64_TRUNC_SAT_S_F64 i64_s_f64_saturated
#define I64_TRUNC_SAT_U_F32 i64_u_f32_saturated
#define I64_TRUNC_SAT_U_F64 i64_u_f64_saturated

#define DEFINE_REINTERPRET(name, from, to) \
  static inline to name(from x) {          \
    to result;                             \
    memcpy(&result, &x, sizeof result);    \
    return result;                         \
  }
DEFINE_REINTERPRET(f32_reinterpret_i32, u32, f32)
DEFINE_REINTERPRET(i32_reinterpret_f32, f32, u32)
DEFINE_REINTERPRET(f64_reinterpret_i64, u64, f64)
DEFINE_REINTERPRET(i64_reinterpret_f64, f64, u64)

#define wasm_floor __builtin_floor
#define wasm_floorf __builtin_floorf
#define wasm_ceil __builtin_ceil
#define wasm_ceilf __builtin_ceilf
#define wasm_trunc __builtin_trunc
#define wasm_truncf __builtin_truncf
#define wasm_nearbyint __builtin_nearbyint
#define wasm_nearbyintf __builtin_nearbyintf
#define wasm_fabs __builtin_fabs
#define wasm_fabsf __builtin_fabsf
#define wasm_sqrt __builtin_sqrt
#define wasm_sqrtf __builtin_sqrtf
#define wasm_quiet(x) (x)
#define wasm_quietf(x) (x)

/* wasm2c's instantiation asserts that the runtime is initialised: ours always is. */
#undef assert
#define assert(x) ((void)0)
#endif
