/** What an instruction does that can show up in a stack or end the program, and where it is in the file. */
export interface Anchor {
  kind: AnchorKind;
  offset: number;
}
export type AnchorKind = 'call' | 'indirect' | 'load' | 'store' | 'divide' | 'truncate' | 'memory' | 'unreachable';

/** A function of the module that is not imported. */
export interface WasmFunction {
  /** As AssemblyScript calls it: `job/Point#move`, `~lib/array/Array<f64>#push`. */
  name: string;
  anchors: Anchor[];
}

/** Reads what `wasm-objdump -d` prints: the functions in their order. */
export function parseDisassembly(text: string): WasmFunction[] {
  const functions: WasmFunction[] = [];
  for (const line of text.split('\n')) {
    const head = /^[0-9a-f]+ func\[\d+\](?: <(.*)>)?:$/.exec(line);
    if (head) {
      functions.push({ name: unquote(head[1] ?? ''), anchors: [] });
      continue;
    }
    const [, offset, instruction] = /^ ([0-9a-f]+): [0-9a-f ]+\| +(\S+)/.exec(line) ?? [];
    if (offset === undefined || instruction === undefined) continue;
    const kind = kindOf(instruction);
    if (kind) functions.at(-1)?.anchors.push({ kind, offset: Number.parseInt(offset, 16) });
  }
  return functions;
}

function kindOf(instruction: string): AnchorKind | null {
  if (instruction === 'call') return 'call';
  if (instruction === 'call_indirect') return 'indirect';
  if (instruction === 'unreachable') return 'unreachable';
  if (/^[if](32|64)\.load/.test(instruction)) return 'load';
  if (/^[if](32|64)\.store/.test(instruction)) return 'store';
  if (/^i(32|64)\.(div|rem)_/.test(instruction)) return 'divide';
  if (/^i(32|64)\.trunc_/.test(instruction)) return 'truncate';
  if (/^memory\.(grow|copy|fill)/.test(instruction)) return 'memory';
  return null;
}

/** Names are written with characters beyond identifiers as %XX. */
function unquote(name: string): string {
  return name.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** A function as people call it: `Point.move`, `Array<f64>.push`, `[]`; empty for what is the runtime's own. */
export function typeScriptName(name: string): string {
  if (/~dmi-entry\/|^~lib\/rt\/|^~start|^start:/.test(name)) return '';
  // Types in <> may contain slashes: shorten every path to its last part.
  const short = name.replace(/[~\w@.-]+(?:\/[~\w@.-]+)*\//g, '');
  return short
    .replace(/[#.]get:/, '.get ')
    .replace(/[#.]set:/, '.set ')
    .replace(/#__u?get$/, '[]')
    .replace(/#__u?set$/, '[]=')
    .replace(/#/g, '.')
    .replace(/\|trampoline$|@varargs$/, '')
    .replace(/~anonymous\|\d+/, '(anonymous function)');
}
