/**
 * Counters of loops as signed numbers. WebAssembly's additions wrap around, so to the C compiler a counter that is widened to index an
 * array might begin again at 0 on the way; that of a signed number in C cannot. For `for (…; i < n; i++)`, where nothing else in the
 * loop changes `i`, it is so in any case: `i` is less than `n` where it is incremented. Such a counter is declared signed (conversions
 * between the two change no bits) and incremented as such.
 */
export function withSignedCounters(lines: readonly string[]): string[] {
  const out = [...lines];
  const declared = out.findIndex(line => /^\s*u32 (w2c_\w+ = 0(, )?)+;$/.test(line));
  if (declared < 0) return out;
  const locals = new Set([...(out[declared] as string).matchAll(/w2c_\w+(?= = 0)/g)].map(([name]) => name));
  const labels = new Map<string, number>();
  const signed = new Set<string>();
  for (const [at, line] of out.entries()) {
    const label = /^\s*(w2c_L\d+): ?$/.exec(line)?.[1];
    if (label !== undefined) labels.set(label, at);
    const back = /^\s*goto (w2c_L\d+);$/.exec(line)?.[1];
    const begin = back === undefined ? undefined : labels.get(back);
    if (begin === undefined) continue;
    const counter = counterOf(out, begin, at);
    if (counter === null || !locals.has(counter)) continue;
    out[at - 2] = '';
    out[at - 1] = `${counter} += 1;`;
    signed.add(counter);
  }
  if (signed.size === 0) return out;
  const rest = [...locals].filter(name => !signed.has(name));
  out[declared] = [
    `s32 ${[...signed].map(name => `${name} = 0`).join(', ')};`,
    ...(rest.length > 0 ? [`u32 ${rest.map(name => `${name} = 0`).join(', ')};`] : []),
  ].join(' ');
  return out;
}

/** The variable that the loop between its label and its `goto` counts up, if it is one of the kind described. */
function counterOf(lines: readonly string[], begin: number, end: number): string | null {
  // …  i0 = COUNTER;  i1 = 1u;  i0 += i1;  COUNTER = i0;  goto
  const increment = lines
    .slice(end - 4, end)
    .map(line => line.trim())
    .join(' ');
  const counter = /^(w2c_i\d+) = (w2c_\w+); (w2c_i\d+) = 1u; \1 \+= \3; \2 = \1;$/.exec(increment)?.[2];
  if (counter === undefined) return null;
  // i0 = COUNTER;  … the bound …;  i0 = (u32)((s32)i0 < (s32)iN);  if (i0) {
  const left = new RegExp(`^(w2c_i\\d+) = ${counter};$`).exec(lines[begin + 1]?.trim() ?? '')?.[1];
  if (left === undefined) return null;
  const test = lines.findIndex((line, at) => at > begin && line.trim() === `if (${left}) {`);
  const compared = new RegExp(`^${left} = \\(u32\\)\\(\\(s32\\)${left} < \\(s32\\)w2c_i\\d+\\);$`);
  if (test < 0 || test > end || !compared.test(lines[test - 1]?.trim() ?? '')) return null;
  // The bound is one expression: nothing jumps, and `left` still holds the counter.
  if (lines.slice(begin + 2, test - 1).some(line => /\bgoto\b|[{}]|:;?\s*$/.test(line) || line.includes(`${left} `)))
    return null;
  // No loop that begins within this one goes on after the increment: from the test to the increment nothing leads around this text.
  const within = lines.slice(begin + 1, end).flatMap(line => /^\s*(w2c_L\d+):/.exec(line)?.[1] ?? []);
  if (lines.slice(end + 1).some(line => within.includes(/^\s*goto (w2c_L\d+);$/.exec(line)?.[1] ?? ''))) return null;
  const changed = new RegExp(`\\b${counter} [-+*/&|^<>]*= `);
  return lines.slice(begin, end - 1).some(line => changed.test(line)) ? null : counter;
}
