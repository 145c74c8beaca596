import type { DiagnosticMessage } from 'assemblyscript/asc';

const NO_EVENT_LOOP =
  'there is no event loop, so no async: start readAsync or writeAsync and call wait() on what they give, or use threads';
const NO_NODE = 'programs run without Node.js: what there is comes from @dmi/as (readFile, sleep, Thread …)';

/** What to write instead of constructs that are not in the grammar, by the line that does not fit it. */
const INSTEAD_OF_SOURCE: [RegExp, string][] = [
  [/\b(async|await)\b/, NO_EVENT_LOOP],
  [
    /\bfunction\s*\*|\byield\b/,
    'there are no generators: fill an array, or write a class with a method that gives the next value',
  ],
  [/\b(const|let|var)\s*[[{]/, 'there is no destructuring: take the parts one by one, const a = pair[0]'],
];

/** What to write instead of constructs that AssemblyScript does not have, by what it says about them. */
const INSTEAD: [RegExp, string][] = [
  [
    /Not implemented: Closures/i,
    'functions cannot use variables of the function around them: pass them as arguments, or keep them in an object or a module variable',
  ],
  [
    /Not implemented: Regular expressions|on type '~lib\/regexp\/RegExp'/i,
    'there are no regular expressions: use indexOf, split, charCodeAt',
  ],
  [/Not implemented: Spread/i, 'pass the array itself'],
  [/Not implemented: (Iterators|For\.\.\.of)/i, 'write: for (let i = 0; i < list.length; i++)'],
  [/Not implemented: (Exceptions|Try)/i, 'there is no try/catch: check first, and throw only what ends the program'],
  [/Not implemented: (Async|Await)/i, NO_EVENT_LOOP],
  [
    /Not implemented: (Union|Intersection|Mapped|Conditional|Keyof|Object literal)|Type '<object>' is not assignable/i,
    'give it a class; T | null is the only union',
  ],
  [
    /Cannot find name '(any|unknown|object|Promise|Symbol|Record|Partial|Readonly)'/,
    'every value has one type known beforehand: use a class, a generic parameter, or T | null',
  ],
  [/Cannot find name '(require|Buffer|fetch|setTimeout|setInterval|globalThis)'/, NO_NODE],
  [/Cannot find name '(undefined)'/, 'use null'],
  [/Cannot find name 'JSON'/, 'there is no JSON: write lines of text, or numbers with writeBytes'],
  [/File '~lib\/node:/, NO_NODE],
  [
    /Conversion from type '(i64|f64|f32|isize|u64)' to '(i32|u32)' requires an explicit cast/,
    'write the conversion: value as i32',
  ],
  [/requires an explicit cast/, 'write the conversion: value as TYPE'],
  [/File '.*' not found/, 'check the path; packages other than @dmi/as must be written in AssemblyScript'],
  [/has no exported member/, 'check the spelling; @dmi/as exports what its types/index.d.ts lists'],
  [/declared type is not 'void' must return a value/, 'end it with return or throw, after a loop without end as well'],
  [/Array-like of|Element type must be nullable if array is holey/, 'fill the array first: new Array<T>(), then push'],
];

/** One message as a line that editors and people can follow, the source line, and what to write instead. */
export function showDiagnostic(message: DiagnosticMessage, textOf: (path: string) => string | null): string {
  const kind = message.category === 3 ? 'error' : message.category === 2 ? 'warning' : 'note';
  const code = `${message.code < 1000 ? 'AS' : 'TS'}${message.code}`;
  const lines: string[] = [];
  let instead = INSTEAD.find(([pattern]) => pattern.test(message.message))?.[1];
  const path = message.range?.source?.normalizedPath;
  if (message.range && path !== undefined) {
    const text = textOf(path);
    const before = (text ?? '').slice(0, message.range.start).split('\n');
    const [line, column] = [before.length, (before.at(-1) ?? '').length + 1];
    lines.push(`${path}${text === null ? '' : `:${line}:${column}`}: ${kind} ${code}: ${message.message}`);
    const source = text?.split('\n')[line - 1];
    if (source !== undefined) {
      // Numbers from 1000 to 1999 are TypeScript's errors of syntax.
      if (message.code >= 1000 && message.code < 2000)
        instead ??= INSTEAD_OF_SOURCE.find(([pattern]) => pattern.test(source))?.[1];
      const width = Math.max(1, Math.min(message.range.end - message.range.start, source.length - column + 1));
      lines.push(`    ${source.replaceAll('\t', ' ')}`, `    ${' '.repeat(column - 1)}${'~'.repeat(width)}`);
    }
  } else {
    lines.push(`${kind} ${code}: ${message.message}`);
  }
  if (instead) lines.push(`    ${instead}`);
  return lines.join('\n');
}
