import { withSignedCounters } from './c-counters.js';
import { WIDE, wideAccessor, withWideAccessors } from './c-indices.js';
import { type CFunctions, depths, withoutStackCheck } from './c-stack-checks.js';
import type { AnchorKind, WasmFunction } from './disassembly.js';
import { typeScriptName } from './disassembly.js';
import type { Place, SourceMap } from './source-map.js';

/**
 * wasm2c's C made ours: its prelude replaced by runtime/wasm_body.h, every statement that can be seen in a stack or end the
 * program marked with its line in the TypeScript source (`#line`, so that ordinary debug information carries it), and what
 * the runtime needs added at the end. @throws Error when it is not the C of the wasm2c we know
 */
export function makeProgramSource(
  c: string,
  functions: readonly WasmFunction[],
  map: SourceMap,
  header: string,
): string {
  const start = c.indexOf('static bool s_module_initialized');
  if (start < 0) throw new Error('the output of wasm2c is not as expected: no s_module_initialized');
  const out = [`#include "${header}"`, '#include "wasm_body.h"'];
  const names: [string, string][] = [];
  const lines = c.slice(start).split('\n');
  const bodies = functionsOf(lines);
  if (bodies.size !== functions.length)
    throw new Error(`the output of wasm2c is not as expected: ${bodies.size} of ${functions.length} functions found`);
  const depth = depths(bodies);
  const accessors = new Map<string, string[]>();
  for (const [at, [name, body]] of [...bodies].entries()) {
    const wide = wideAccessor(functions[at]?.name ?? '', withoutStackCheck(body, depth.get(name) as number));
    if (wide) accessors.set(name, wide);
  }
  let next = 0;
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    const name = DEFINITION.exec(line)?.[1] ?? '';
    const body = bodies.get(name);
    const described = body ? functions[next] : undefined;
    if (!body || !described) {
      out.push(line);
      if (PROTOTYPE.test(line)) out.push(...prototypeOfWide(line, accessors));
      continue;
    }
    next++;
    i += body.length - 1;
    const shown = typeScriptName(described.name);
    names.push([name, shown]);
    out.push(...withLines(optimised(body, depth.get(name) as number, new Set(accessors.keys())), described, map));
    const wide = accessors.get(name);
    if (!wide) continue;
    names.push([`${name}${WIDE}`, shown]);
    out.push(...withLines(wide, described, map));
  }
  const instantiate = /void Z_job_instantiate\(Z_job_instance_t\* instance([^)]*)\) \{/.exec(c);
  const imports = (instantiate?.[1] ?? '').split(',').length - 1;
  out.push('#line 1 "instance.c"');
  out.push(`#define INSTANTIATE(i) Z_job_instantiate(i${', NULL'.repeat(imports)})`);
  out.push('#include "instance.h"');
  out.push('const char *const dmi_ts_names[][2] = {');
  for (const [name, shown] of names) if (shown !== '') out.push(`  {"${name}", ${JSON.stringify(shown)}},`);
  out.push('  {NULL, NULL}};', '');
  return out.join('\n');
}

const DEFINITION = /^static \w+ (w2c_\w+)\(Z_job_instance_t\* instance.*\) \{$/;

const PROTOTYPE = /^static \w+ (w2c_\w+)\(Z_job_instance_t\*.*\);$/;

function prototypeOfWide(line: string, accessors: ReadonlyMap<string, unknown>): string[] {
  const name = PROTOTYPE.exec(line)?.[1] as string;
  return accessors.has(name) ? [line.replace(`${name}(`, `${name}${WIDE}(`)] : [];
}

/**
 * Loops over arrays are for the C compiler to optimise where no collection can happen: what it keeps of a reference in such a loop may
 * be an address that lies in no object. For the same reason they are not inlined into where one can happen.
 */
function optimised(body: readonly string[], depth: number, accessors: ReadonlySet<string>): readonly string[] {
  const lean = withoutStackCheck(body, depth);
  if (depth === Number.POSITIVE_INFINITY || !lean.some(line => /^\s*w2c_L\d+:/.test(line))) return lean;
  const [head = '', ...rest] = withWideAccessors(withSignedCounters(lean), accessors);
  return [`__attribute__((noinline)) ${head}`, ...rest];
}

function functionsOf(lines: readonly string[]): CFunctions {
  const found = new Map<string, readonly string[]>();
  for (const [at, line] of lines.entries()) {
    const name = DEFINITION.exec(line)?.[1];
    if (name !== undefined) found.set(name, lines.slice(at, lines.indexOf('}', at) + 1));
  }
  return found;
}

/** The function with its statements gathered on lines that bear TypeScript's line numbers. */
function withLines(lines: readonly string[], described: WasmFunction, map: SourceMap): string[] {
  const out: string[] = [];
  let gathered: string[] = [];
  let place: Place | null = described.anchors[0] ? map.at(described.anchors[0].offset) : null;
  let next = 0;
  const flush = () => {
    if (gathered.length === 0) return;
    if (place) out.push(`#line ${place.line} ${JSON.stringify(place.file)}`);
    out.push(gathered.join(' '));
    gathered = [];
  };
  for (const line of lines) {
    const text = line.trim();
    const kind = kindOf(text);
    if (kind) {
      // wasm2c leaves out what cannot be reached, so some instructions have no statement.
      let found = next;
      while (found < described.anchors.length && described.anchors[found]?.kind !== kind) found++;
      const anchor = described.anchors[found];
      if (anchor) {
        next = found + 1;
        const at = map.at(anchor.offset);
        if (at && (at.line !== place?.line || at.file !== place.file)) {
          flush();
          place = at;
        }
      }
    }
    gathered.push(text);
  }
  flush();
  return out;
}

function kindOf(statement: string): AnchorKind | null {
  if (statement.includes('CALL_INDIRECT(')) return 'indirect';
  if (statement === 'UNREACHABLE;') return 'unreachable';
  if (/\b[if](32|64)_load/.test(statement)) return 'load';
  if (/\b[if](32|64)_store/.test(statement)) return 'store';
  if (/\b(I32_|I64_)?(DIV|REM)_[SU]\(/.test(statement)) return 'divide';
  if (/\bI(32|64)_TRUNC_/.test(statement)) return 'truncate';
  if (/\b(memory_(copy|fill)|wasm_rt_grow_memory)\(/.test(statement)) return 'memory';
  if (/\(instance[,)]|\(\*Z_\w+\)\(|\(instance->/.test(statement)) return 'call';
  return null;
}
