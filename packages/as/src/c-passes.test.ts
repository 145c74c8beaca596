import { describe, expect, it } from 'vitest';
import { withSignedCounters } from './c-counters.js';
import { wideAccessor, withWideAccessors } from './c-indices.js';
import { depths, withoutStackCheck } from './c-stack-checks.js';

function fn(name: string, ...body: string[]): [string, string[]] {
  return [name, [`static u32 ${name}(Z_job_instance_t* instance, u32 w2c_n) {`, '  FUNC_PROLOGUE;', ...body, '}']];
}

describe('how deep calls lead', () => {
  const found = depths(
    new Map([
      fn('w2c_leaf', '  (*Z_envZ_abort)(instance->Z_env_instance, w2c_i0);', '  UNREACHABLE;'),
      fn('w2c_outer', '  w2c_i0 = w2c_leaf(instance, w2c_i0);'),
      fn('w2c_again', '  w2c_i0 = w2c_again(instance, w2c_i0);'),
      fn('w2c_ping', '  w2c_pong(instance);'),
      fn('w2c_pong', '  w2c_ping(instance);'),
      fn('w2c_above', '  w2c_pong(instance);'),
      fn('w2c_import', '  (*Z_dmiZ_read)(instance->Z_dmi_instance, w2c_i0);'),
      fn('w2c_value', '  CALL_INDIRECT(instance->w2c_T0, void (*)(void), 1, w2c_i0);'),
      fn('w2c_grow', '  w2c_i0 = wasm_rt_grow_memory((&instance->w2c_M0), w2c_i0);'),
    ]),
  );

  it('is known where nothing leads back or out', () => {
    expect([found.get('w2c_leaf'), found.get('w2c_outer')]).toEqual([1, 2]);
  });

  it.each(['again', 'ping', 'pong', 'above', 'import', 'value', 'grow'])('is unknown for %s', name => {
    expect(found.get(`w2c_${name}`)).toBe(Number.POSITIVE_INFINITY);
  });

  it('decides who looks at the limit of the stack', () => {
    const [, body] = fn('w2c_leaf');
    expect(withoutStackCheck(body, 6)).not.toContain('  FUNC_PROLOGUE;');
    expect(withoutStackCheck(body, 7)).toContain('  FUNC_PROLOGUE;');
    expect(withoutStackCheck(body, Number.POSITIVE_INFINITY)).toContain('  FUNC_PROLOGUE;');
  });
});

describe('an accessor of arrays', () => {
  const get = [
    'static f64 w2c_uget(Z_job_instance_t* instance, u32 w2c_this, u32 w2c_index) {',
    '  w2c_i1 = w2c_index;',
    '  w2c_i2 = 3u;',
    '  w2c_i1 <<= (w2c_i2 & 31);',
    '  w2c_i0 += w2c_i1;',
    '  w2c_d0 = f64_load(&instance->w2c_M0, (u64)(w2c_i0));',
    '}',
  ];

  it('has a twin that computes the address in 64 bits', () => {
    const wide = wideAccessor('~lib/staticarray/StaticArray<f64>#__uget', get)?.join('\n');
    expect(wide).toContain('static f64 w2c_uget_wide(Z_job');
    expect(wide).toContain('const u64 w2c_element = (u64)w2c_i0 + (u64)((s64)(s32)w2c_i1 << (w2c_i2 & 31));');
    expect(wide).toContain('w2c_d0 = f64_load(&instance->w2c_M0, w2c_element);');
    expect(withWideAccessors(['x = w2c_uget(instance, a);', 'w2c_other(instance)'], new Set(['w2c_uget']))).toEqual([
      'x = w2c_uget_wide(instance, a);',
      'w2c_other(instance)',
    ]);
  });

  it('is only what the library calls so', () => {
    expect(wideAccessor('job/Mine#__uget', get)).toBeNull();
    expect(wideAccessor('~lib/map/Map<i32,f64>#find', get)).toBeNull();
  });
});

/** `for (…; i < n; i++) { body }` as wasm2c writes it. */
function loop(change: Partial<Record<'test' | 'step' | 'body' | 'after', string>> = {}): string[] {
  return [
    'static void w2c_f(Z_job_instance_t* instance, u32 w2c_n) {',
    '  u32 w2c_i = 0, w2c_sum = 0;',
    '  u32 w2c_i0, w2c_i1;',
    '  w2c_L1: ',
    '    w2c_i0 = w2c_i;',
    '    w2c_i1 = w2c_n;',
    `    w2c_i0 = (u32)((s32)w2c_i0 ${change.test ?? '<'} (s32)w2c_i1);`,
    '    if (w2c_i0) {',
    ...(change.body ?? '      w2c_sum = w2c_i0;').split('\n'),
    '      w2c_i0 = w2c_i;',
    `      w2c_i1 = ${change.step ?? '1u'};`,
    '      w2c_i0 += w2c_i1;',
    '      w2c_i = w2c_i0;',
    '      goto w2c_L1;',
    '    }',
    ...(change.after ?? '').split('\n'),
    '}',
  ];
}

describe('a counter', () => {
  it('is signed where it is less than its bound when it is incremented', () => {
    const text = withSignedCounters(loop()).join('\n');
    expect(text).toContain('s32 w2c_i = 0; u32 w2c_sum = 0;');
    expect(text).toMatch(/w2c_i \+= 1;\n\s*goto w2c_L1;/);
    expect(text).not.toContain('w2c_i = w2c_i0;');
  });

  it.each([
    ['<= lets it reach the largest number', { test: '<=' }],
    ['a step of 2 can pass it', { step: '2u' }],
    ['something else in the loop changes it', { body: '      w2c_i = w2c_i0;' }],
    ['a loop within leads around the test', { body: '      w2c_L2: ', after: '  goto w2c_L2;' }],
  ])('wraps around as before where %s', (_why, change) => {
    expect(withSignedCounters(loop(change))).toEqual(loop(change));
  });
});
