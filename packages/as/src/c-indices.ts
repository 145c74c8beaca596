/** The accessors of AssemblyScript's arrays: `this` is where the elements begin or knows where they do, the index is an i32. */
const ACCESSOR = /^~lib\/(?:array\/Array|staticarray\/StaticArray|typedarray\/\w+Array)(?:<.*>)?#__u?[gs]et$/;

export const WIDE = '_wide';

/**
 * WebAssembly computes an element's address in 32 bits, where it may wrap around: so the C compiler could not step through an array
 * with a pointer, nor vectorise. This makes of an accessor of arrays another, whose name ends in WIDE, that computes it in 64 bits. It
 * is the same as long as the index is within the array, which a checked access has made sure of, and `unchecked` promises. Null for
 * any other function.
 */
export function wideAccessor(name: string, lines: readonly string[]): string[] | null {
  if (!ACCESSOR.test(name)) return null;
  // i1 <<= (i2 & 31);  i0 += i1;  [d1 = value;]  …load or store(memory, (u64)(i0)…
  const pattern =
    /(?<index>w2c_i\d+) <<= \((?<shift>w2c_i\d+) & 31\);\n\s*(?<base>w2c_i\d+) \+= \k<index>;(?<between>(?:\n\s*w2c_\w+ = w2c_\w+;)?\n[^\n]*\b[if](?:32|64)_(?:load|store)\w*\([^\n]*?)\(u64\)\(\k<base>\)/;
  const text = lines.join('\n');
  const wide = text.replace(
    pattern,
    'const u64 w2c_element = (u64)$<base> + (u64)((s64)(s32)$<index> << ($<shift> & 31));$<between>w2c_element',
  );
  return wide === text ? null : wide.replace(/^(static \w+ w2c_\w+)\(/, `$1${WIDE}(`).split('\n');
}

/** The function with its calls of accessors turned to the wide ones. */
export function withWideAccessors(lines: readonly string[], accessors: ReadonlySet<string>): string[] {
  return lines.map(line =>
    line.replace(/\b(w2c_\w+)\(instance\b/g, (call, name: string) =>
      accessors.has(name) ? `${name}${WIDE}(instance` : call,
    ),
  );
}
