/** What wasm2c puts at the beginning of each function, and wasm_body.h makes a look at the stack's limit. */
const CHECK = 'FUNC_PROLOGUE;';

/** A chain of so many calls without a look at the limit fits into the margin that the runtime keeps below it. */
const LONGEST_CHAIN = 6;

/** wasm2c's functions by their C names, each from its head to its closing brace. */
export type CFunctions = ReadonlyMap<string, readonly string[]>;

/**
 * How many calls deep it can get from each function, itself counted. Infinity: a call leads back, through a function value or into
 * the runtime, so that there is no saying; a collection of garbage can happen only in such a function.
 */
export function depths(functions: CFunctions): ReadonlyMap<string, number> {
  const known = new Map<string, number>();
  const depth = (name: string): number => {
    const before = known.get(name);
    if (before !== undefined) return before;
    known.set(name, Number.POSITIVE_INFINITY); // whoever comes here again has gone in a circle
    const calls = callsOf(functions.get(name));
    const found = calls === null ? Number.POSITIVE_INFINITY : 1 + Math.max(0, ...calls.map(depth));
    known.set(name, found);
    return found;
  };
  for (const name of functions.keys()) depth(name);
  return known;
}

/** The functions of the program that are called; null: others are as well. The call that ends the program does not count. */
function callsOf(lines: readonly string[] | undefined): string[] | null {
  const text = lines?.slice(1).join('\n');
  if (text === undefined || /CALL_INDIRECT\(|wasm_rt_grow_memory\(/.test(text)) return null;
  for (const [, imported] of text.matchAll(/\(\*(Z_\w+)\)\(/g)) if (imported !== 'Z_envZ_abort') return null;
  return [...text.matchAll(/\b(w2c_\w+)\(instance\b/g)].map(([, name]) => name as string);
}

/** The function without its look at the limit, if it does not lead deep: in an accessor it would cost as much as the access. */
export function withoutStackCheck(lines: readonly string[], depth: number): readonly string[] {
  return depth > LONGEST_CHAIN ? lines : lines.filter(line => line.trim() !== CHECK);
}
