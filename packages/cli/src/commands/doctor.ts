import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { missingTools } from '@dmi/as/compiler';
import { HOST_WIRE_VERSION, VERSION } from '@dmi/core';
import { cpuFeatures, findHostBinary } from '@dmi/node-agent';
import { type Command, Option } from 'commander';
import { EXIT, Exit } from '../exit.js';
import { render } from '../show/table.js';
import { print } from './context.js';

/** One thing that a node needs. */
interface Check {
  check: string;
  ok: boolean;
  /** It works without, not as well. */
  optional: boolean;
  detail: string;
}

export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('check that this machine can be a node')
    .addOption(new Option('-o, --output <format>', 'table or json').choices(['table', 'json']).default('table'))
    .action(async ({ output }: { output: 'table' | 'json' }) => {
      const checks = [kernel(), dispatch(), fsgsbase(), maps(), overcommit(), host(), node(), typescript()];
      const columns = [
        { head: 'CHECK', cell: (row: Check) => row.check },
        { head: 'RESULT', cell: (row: Check) => (row.ok ? 'ok' : row.optional ? 'warning' : 'MISSING') },
        { head: 'DETAIL', cell: (row: Check) => row.detail },
      ];
      await print(render(checks, columns, output));
      if (checks.some(check => !check.ok && !check.optional)) throw new Exit(EXIT.failed);
    });
}

function kernel(): Check {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const ok = major > 5 || (major === 5 && minor >= 11);
  return {
    check: 'Linux 5.11 or later',
    ok,
    optional: false,
    detail: ok ? release() : `${release()}; Syscall User Dispatch came with 5.11: use a newer kernel`,
  };
}

function dispatch(): Check {
  // Only trying tells; the host does that first thing, and says so. x86-64 kernels always have it from 5.11 on.
  const ok = process.arch === 'x64' && kernel().ok;
  return {
    check: 'Syscall User Dispatch',
    ok,
    optional: false,
    detail: ok ? 'x86-64 kernel' : `not on ${process.arch}: use an x86-64 machine`,
  };
}

function fsgsbase(): Check {
  const ok = cpuFeatures().includes('fsgsbase');
  return {
    check: 'FSGSBASE',
    ok,
    optional: false,
    detail: ok ? 'rdfsbase and wrfsbase are there' : 'the processor or kernel lacks it (boot without nofsgsbase)',
  };
}

function maps(): Check {
  const n = readNumber('/proc/sys/vm/max_map_count');
  const ok = n >= 65_530;
  return {
    check: 'vm.max_map_count',
    ok,
    optional: true,
    detail: `${n}: about ${Math.floor(n / 50)} dynamic or ${Math.floor(n / 10)} static threads per host`,
  };
}

function overcommit(): Check {
  const n = readNumber('/proc/sys/vm/overcommit_memory');
  return {
    check: 'vm.overcommit_memory',
    ok: n !== 2,
    optional: true,
    detail: n === 2 ? '2: every page of a thread must be backed; fewer threads fit' : String(n),
  };
}

function readNumber(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return Number.NaN;
  }
}

function host(): Check {
  try {
    const binary = findHostBinary();
    const said: unknown = JSON.parse(execFileSync(binary, ['--version'], { encoding: 'utf8', timeout: 5_000 }));
    const { version, build, wire } = said as { version: string; build: string; wire: number };
    const ok = version === VERSION && wire === HOST_WIRE_VERSION;
    const fits = ok
      ? `version ${version}, build ${build.slice(0, 12)}`
      : `version ${version}, wire ${wire}, but this is ${VERSION}, ${HOST_WIRE_VERSION}: npm run build`;
    return { check: 'dmi-host', ok, optional: false, detail: `${binary}: ${fits}` };
  } catch (error) {
    return {
      check: 'dmi-host',
      ok: false,
      optional: false,
      detail: `${error instanceof Error ? error.message.split('\n')[0] : error}; build it: npm run build`,
    };
  }
}

function typescript(): Check {
  const missing = missingTools();
  const packages = [...new Set(missing.map(({ what }) => what))];
  return {
    check: 'TypeScript programs',
    ok: missing.length === 0,
    optional: true,
    detail:
      missing.length === 0
        ? 'wasm2c and a C compiler are there'
        : `${missing.map(({ tool }) => tool).join(', ')} missing: install ${packages.join(' and ')}`,
  };
}

function node(): Check {
  const [major = 0] = process.versions.node.split('.').map(Number);
  return { check: 'Node.js 20 or later', ok: major >= 20, optional: false, detail: process.version };
}
