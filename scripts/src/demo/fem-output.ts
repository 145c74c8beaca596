/** What the FEM program prints on stdout, as far as the demo looks at it. */
export type FemLine =
  | { readonly kind: 'deck'; readonly dof: number; readonly threads: number }
  | { readonly kind: 'progress'; readonly iteration: number; readonly residual: number }
  | { readonly kind: 'result'; readonly iterations: number; readonly residual: number; readonly vtu: string };

const PROGRESS = /^iteration (\d+) residual (\S+)$/;

export function parseFemLine(line: string): FemLine | undefined {
  const progress = PROGRESS.exec(line);
  if (progress) return { kind: 'progress', iteration: Number(progress[1]), residual: Number(progress[2]) };
  if (line.startsWith('deck ')) {
    return { kind: 'deck', dof: Number(member(line, 'dof')), threads: Number(member(line, 'threads')) };
  }
  if (line.startsWith('result ')) {
    const iterations = Number(member(line, 'iterations'));
    return { kind: 'result', iterations, residual: Number(member(line, 'relResidual')), vtu: member(line, 'vtu') };
  }
  return undefined;
}

/** The value of ` name=value` in a line; vtu= is the last and may have spaces. */
function member(line: string, name: string): string {
  const match = new RegExp(name === 'vtu' ? / vtu=(.*)$/ : ` ${name}=(\\S+)`).exec(line);
  if (!match?.[1]) throw new Error(`the FEM program's line has no ${name}=: ${line}`);
  return match[1];
}
