import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory } from './places.js';

/** What a program was made of when it was compiled: its files by content. */
interface Manifest {
  files: [path: string, hash: string][];
  executable: string;
}

export function sha256(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/**
 * Compiled programs by content. `manifests/KEY` says for an entry and a toolchain which files went in and what came out;
 * `programs/HASH/NAME` are the executables. Whatever is there is complete: files appear by rename.
 */
export class Cache {
  readonly #manifest: string;
  readonly directory = cacheDirectory();

  constructor(entry: string, toolchain: string) {
    this.#manifest = join(this.directory, 'manifests', sha256(entry, '\0', toolchain));
  }

  /** The executable, if nothing it was made of has changed. */
  async find(): Promise<string | null> {
    const text = await readFile(this.#manifest, 'utf8').catch(() => null);
    if (text === null) return null;
    const { files, executable } = JSON.parse(text) as Manifest;
    for (const [path, hash] of files) {
      const contents = await readFile(path).catch(() => null);
      if (contents === null || sha256(contents) !== hash) return null;
    }
    const there = await stat(executable).catch(() => null);
    return there ? executable : null;
  }

  /** Keeps an executable that lies at `built` under its content's hash. */
  async keep(files: readonly string[], built: string, name: string): Promise<string> {
    const hash = sha256(await readFile(built));
    const directory = join(this.directory, 'programs', hash);
    const executable = join(directory, name);
    await mkdir(directory, { recursive: true });
    await rename(built, executable);
    const manifest: Manifest = {
      files: await Promise.all(files.map(async path => [path, sha256(await readFile(path))] as [string, string])),
      executable,
    };
    await mkdir(join(this.directory, 'manifests'), { recursive: true });
    const fresh = `${this.#manifest}.${process.pid}`;
    await writeFile(fresh, JSON.stringify(manifest));
    await rename(fresh, this.#manifest);
    return executable;
  }
}
