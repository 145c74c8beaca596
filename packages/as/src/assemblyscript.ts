import { readFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { DmiError } from '@dmi/core';
import { showDiagnostic } from './diagnostics.js';
import { entryModule } from './entry.js';
import { LIBRARY } from './places.js';

export interface Compiled {
  wasm: Uint8Array;
  sourceMap: string;
  /** Absolute paths of the program's own files, the entry first. */
  files: string[];
  /** For people; the program is good. */
  warnings: string[];
}

/** The generated module stands beside the entry, under a name no file has. */
const ENTRY = '~dmi-entry';

/** TypeScript to WebAssembly. @throws DmiError `bad-program` with all that is wrong, by file and line */
export async function compileToWasm(entry: string): Promise<Compiled> {
  const base = process.cwd();
  const shown = relative(base, entry);
  const source = await readFile(entry, 'utf8').catch(cause => {
    throw new DmiError('bad-program', `${shown} cannot be read: ${cause instanceof Error ? cause.message : cause}`, {
      object: shown,
      cause,
    });
  });
  const generated = join(dirname(shown), ENTRY);
  const module = entryModule(shown, source, `./${basename(entry, '.ts')}`);
  const files = new Set([entry]);
  const outputs = new Map<string, string | Uint8Array>();
  const errors: string[] = [];
  const warnings: string[] = [];
  const { default: asc } = await import('assemblyscript/asc');

  /** Sources by the names the compiler has for them. */
  const texts = new Map<string, string>();
  const text = async (name: string, directory: string): Promise<string | null> => {
    if (name === `${generated}.ts`) return module;
    const ours = name.startsWith('~lib/') || directory === LIBRARY;
    const path = ours ? join(LIBRARY, name.replace(/^~lib\//, '')) : resolve(directory, name);
    const found = await readText(path);
    if (found !== null) texts.set(ours ? `~lib/${name.replace(/^~lib\//, '')}` : name, found);
    if (found !== null && !ours) files.add(path);
    return found;
  };
  const { error } = await asc.main(
    [
      generated,
      ...['--outFile', 'job.wasm', '--sourceMap', '--debug', '--runtime', '~lib/rt/index-dmi', '--lib', LIBRARY],
      // The C compiler optimises; unoptimised, one function is one function in a stack.
      ...['--optimizeLevel', '0', '--noExportMemory'],
    ],
    {
      transforms: [WithoutShadowStack as never],
      readFile: (name: string, directory: string) => text(name, directory),
      writeFile: (name: string, contents: string | Uint8Array) => void outputs.set(name, contents),
      listFiles: () => [],
      stdout: asc.createMemoryStream(),
      stderr: asc.createMemoryStream(),
      reportDiagnostic: message => {
        const where = message.range?.source.normalizedPath ?? '';
        const said = showDiagnostic(message, path => texts.get(path) ?? null);
        if (message.category === 3) errors.push(said);
        else if (message.category === 2 && !where.startsWith('~lib/')) warnings.push(said);
      },
    },
  );
  const wasm = outputs.get('job.wasm');
  const sourceMap = outputs.get('job.wasm.map');
  if (error || errors.length > 0 || !(wasm instanceof Uint8Array) || typeof sourceMap !== 'string') {
    const said = errors.length > 0 ? [...new Set(errors)].join('\n') : String(error?.message ?? 'no output');
    throw new DmiError('bad-program', `${shown} does not compile\n${said}`, { object: shown, cause: error });
  }
  return { wasm, sourceMap, files: [...files], warnings };
}

/** The compiler takes every runtime of one's own for one that needs a shadow stack of references; ours finds them itself. */
class WithoutShadowStack {
  /** Set by the compiler, on the prototype. */
  declare program: { options: { stackSize: number }; module: { useShadowStack: boolean } };
  afterParse(): void {
    this.program.options.stackSize = 0;
    this.program.module.useShadowStack = false;
  }
}

async function readText(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null);
}
