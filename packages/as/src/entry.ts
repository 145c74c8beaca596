import { DmiError } from '@dmi/core';

/** Is this the source of a program, rather than an executable? */
export function isTypeScript(name: string): boolean {
  return name.endsWith('.ts') && !name.endsWith('.d.ts');
}

/** An exported function that the runtime calls. */
interface EntryPoint {
  parameters: number;
  returns: boolean;
}

const NAMES = ['main', 'thread', 'scaleunit'] as const;
const SHAPES: Record<(typeof NAMES)[number], { most: number; write: string }> = {
  main: { most: 1, write: 'export function main(args: string[]): i32' },
  thread: { most: 1, write: 'export function thread(arg: i64): i64' },
  scaleunit: { most: 3, write: 'export function scaleunit(rank: i32, n: i32, arg: i64): i32' },
};

/**
 * The source of the module that the runtime calls: it fits the program's entry points, which may leave out parameters and
 * results, to fixed signatures. @throws DmiError `bad-program` when there is nothing to start
 */
export function entryModule(file: string, source: string, specifier: string): string {
  const text = withoutComments(source);
  const found = Object.fromEntries(NAMES.map(name => [name, entryPoint(file, text, name)]));
  const { main, thread, scaleunit } = found;
  if (!main) {
    throw new DmiError('bad-program', `${file}: it exports no function main`, {
      object: file,
      hint: `write: ${SHAPES.main.write} { … return 0; }`,
    });
  }
  const imports = NAMES.filter(name => found[name]).map(name => `${name} as program_${name}`);
  const call = (name: string, entry: EntryPoint, args: string[], type: string) => {
    const calling = `program_${name}(${args.slice(0, entry.parameters).join(', ')})`;
    return entry.returns ? `return <${type}>${calling};` : `${calling};\n  return 0;`;
  };
  const none = (name: 'thread' | 'scaleunit') =>
    `throw new Error('${file} exports no function ${name}: ${SHAPES[name].write}');`;
  return `// @ts-nocheck
import { ${imports.join(', ')} } from '${specifier}';
import { programArguments } from '@dmi/as';
export { dmi_mark } from 'rt/index-dmi';
export function dmi_main(): i32 {
  ${call('main', main, ['programArguments()'], 'i32')}
}
export function dmi_thread(arg: i64): i64 {
  ${thread ? call('thread', thread, ['arg'], 'i64') : none('thread')}
}
export function dmi_scaleunit(rank: i32, n: i32, arg: i64): i32 {
  ${scaleunit ? call('scaleunit', scaleunit, ['rank', 'n', 'arg'], 'i32') : none('scaleunit')}
}
export function dmi_call(fn: u32, arg: i64): i64 {
  return call_indirect<i64>(fn, arg);
}
`;
}

function entryPoint(file: string, text: string, name: (typeof NAMES)[number]): EntryPoint | null {
  const match = new RegExp(
    `^[ \\t]*export\\s+(async\\s+)?function\\s+${name}\\s*\\(([^)]*)\\)\\s*(?::\\s*(\\w+))?`,
    'm',
  ).exec(text);
  if (!match) return null;
  const [, asynchronous, parameters = '', result = 'void'] = match;
  const count = parameters.trim() === '' ? 0 : parameters.split(',').filter(part => part.trim() !== '').length;
  if (asynchronous || count > SHAPES[name].most) {
    throw new DmiError('bad-program', `${file}: ${name} cannot be started as it is declared`, {
      object: file,
      hint: `write: ${SHAPES[name].write}`,
    });
  }
  return { parameters: count, returns: result !== 'void' };
}

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
}
