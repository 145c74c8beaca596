import { execFile } from 'node:child_process';
import { access, constants, readFile, realpath, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { DmiError, hashFile, type ProgramFile } from '@dmi/core';
import { type ElfProgram, parseElf } from './elf.js';

/** A program that can be submitted: its files by hash, and where they are on this machine. */
export interface LoadedProgram {
  /** Absolute path of the executable. */
  path: string;
  hash: string;
  elf: ElfProgram;
  /** The executable first, then the interpreter and the libraries, by the paths they are opened under. */
  files: ProgramFile[];
  sources: Map<string, string>;
}

/** Finds, checks and hashes a program and its shared libraries. @throws DmiError `bad-program` */
export async function loadProgram(name: string): Promise<LoadedProgram> {
  const path = await findProgram(name);
  const elf = parseElf(path, await readFile(path));
  const paths = [path, ...(elf.interpreter === null ? [] : await closure(path, elf.interpreter))];
  const sources = new Map<string, string>();
  const files: ProgramFile[] = [];
  for (const file of paths) {
    const real = await realpath(file).catch(cause => {
      throw new DmiError('bad-program', `${name}: its library ${file} cannot be read`, {
        object: file,
        cause,
        hint: 'install it',
      });
    });
    const hash = await hashFile(real);
    sources.set(hash, real);
    files.push({ path: file, hash, size: (await stat(real)).size });
  }
  return { path, hash: (files[0] as ProgramFile).hash, elf, files, sources };
}

/** As a shell would: a name with a slash is a path, another is looked up in PATH, and (for convenience) here. */
async function findProgram(name: string): Promise<string> {
  const places = name.includes('/')
    ? [name]
    : [...(process.env.PATH ?? '').split(delimiter).map(dir => join(dir, name)), `./${name}`];
  for (const place of places) {
    const path = isAbsolute(place) ? place : resolve(place);
    const found = await stat(path).catch(() => null);
    if (!found) continue;
    if (found.isDirectory()) {
      if (!name.includes('/')) continue;
      throw new DmiError('bad-program', `${name}: it is a directory, not a program`, {
        object: name,
        hint: 'name the executable in it',
      });
    }
    try {
      await access(path, constants.X_OK | constants.R_OK);
      return path;
    } catch (cause) {
      if (!name.includes('/')) continue;
      throw new DmiError('bad-program', `${name}: it is not executable`, {
        object: name,
        hint: `chmod +x ${name}`,
        cause,
      });
    }
  }
  throw new DmiError('bad-program', `${name}: there is no such program`, {
    object: name,
    hint: name.includes('/') ? 'check the path' : `give its path, like ./${name}`,
  });
}

const run = promisify(execFile);

/** What `ldd` shows: the interpreter resolves the libraries, with all its rules, without starting the program. */
async function closure(path: string, interpreter: string): Promise<string[]> {
  const listed = await run(interpreter, [path], {
    env: { ...withoutPreload(), LD_TRACE_LOADED_OBJECTS: '1' },
    timeout: 20_000,
  }).catch(cause => {
    throw new DmiError('bad-program', `${path}: its libraries cannot be resolved: ${firstLine(cause)}`, {
      object: path,
      cause,
      hint: `see: ldd ${path}`,
    });
  });
  const paths = new Set([interpreter]);
  for (const line of listed.stdout.split('\n')) {
    const [, name, target] = /^\s*(\S+)\s+=>\s+(.*?)(?:\s+\(0x[0-9a-f]+\))?$/.exec(line) ?? [];
    if (name === undefined || target === undefined) continue;
    if (!target.startsWith('/')) {
      throw new DmiError('bad-program', `${path}: it needs ${name}, which is not there`, {
        object: path,
        hint: `install the library, or set LD_LIBRARY_PATH`,
      });
    }
    paths.add(target);
  }
  return [...paths];
}

function withoutPreload(): NodeJS.ProcessEnv {
  const { LD_PRELOAD: _, ...env } = process.env;
  return env;
}

function firstLine(error: unknown): string {
  const stderr = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr) : '';
  return (
    stderr.trim().split('\n')[0] || (error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error))
  );
}
