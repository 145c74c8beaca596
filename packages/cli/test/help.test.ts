import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const DMI = fileURLToPath(new URL('../bin/dmi.js', import.meta.url));

function help(...command: string[]): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [DMI, ...command, '--help'], { encoding: 'utf8' });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout;
}
function commands(text: string): string[] {
  const list = text.slice(text.indexOf('\nCommands:\n')).split('\n\n')[0] ?? '';
  return [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name as string).filter(name => name !== 'help');
}

describe('help', () => {
  const all = commands(help()).flatMap(name =>
    name === 'sim' ? commands(help(name)).map(inner => [name, inner]) : [[name]],
  );

  it.each(all.map(words => ({ command: words.join(' ') })))('of dmi $command is for people', ({ command }) => {
    const text = help(...command.split(' '));
    expect(text).toContain(`Usage: dmi ${command}`);
    expect(text).not.toMatch(/default:\s+(?:[{[]|\d{6,})/); // a value as the program has it
  });
});
