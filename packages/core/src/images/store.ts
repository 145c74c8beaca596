import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { DmiError } from '../errors.js';

/** Largest file of a program image, bytes. */
export const MAX_IMAGE = 4 * 1024 ** 3;

/** Where images are kept unless told otherwise: DMI_CACHE_DIR, or dmi/images in the user's cache directory. */
export function defaultImageDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.DMI_CACHE_DIR) return join(env.DMI_CACHE_DIR, 'images');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'dmi', 'images');
}

/** SHA-256 of a file, hex. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/**
 * Files by content hash, in a directory that several processes may share: a file appears under its name only when it is
 * complete and its contents have the hash that is its name.
 */
export class ImageStore {
  readonly #checked = new Set<string>();

  constructor(readonly dir: string) {}

  path(hash: string): string {
    return join(this.dir, hash.slice(0, 2), hash);
  }

  /** True if the file is there; its contents are checked once per process, and a damaged file is removed. */
  async has(hash: string): Promise<boolean> {
    const path = this.path(hash);
    const found = await stat(path).catch(() => null);
    if (!found) {
      this.#checked.delete(hash);
      return false;
    }
    if (this.#checked.has(hash)) return true;
    if ((await hashFile(path)) === hash) {
      this.#checked.add(hash);
      return true;
    }
    await rm(path, { force: true });
    return false;
  }

  /** Starts taking in a file. Call `finish` or `abort`. */
  async create(hash: string, total: number): Promise<ImageWriter> {
    if (total > MAX_IMAGE)
      throw new DmiError('image', `image ${hash.slice(0, 12)}: ${total} bytes are more than the allowed ${MAX_IMAGE}`);
    const path = this.path(hash);
    const part = join(dirname(path), `.${hash}.${randomBytes(6).toString('hex')}.part`);
    const file = await mkdir(dirname(path), { recursive: true })
      .then(() => open(part, 'wx', 0o444))
      .catch(cause => {
        throw storeError(hash, this.dir, cause);
      });
    return new ImageWriter(hash, total, file, part, path, () => this.#checked.add(hash));
  }

  /** At most `length` bytes from `offset`, and the file's size; null if it is not here. */
  async read(hash: string, offset: number, length: number): Promise<{ data: Buffer; total: number } | null> {
    const file = await open(this.path(hash), 'r').catch(() => null);
    if (!file) return null;
    try {
      const { size } = await file.stat();
      const data = Buffer.alloc(Math.max(0, Math.min(length, size - offset)));
      const { bytesRead } = await file.read(data, 0, data.length, offset);
      return { data: data.subarray(0, bytesRead), total: size };
    } finally {
      await file.close();
    }
  }
}

/** A file on its way into the store. */
export class ImageWriter {
  readonly #sum = createHash('sha256');
  #offset = 0;
  #open = true;

  constructor(
    readonly hash: string,
    readonly total: number,
    private readonly file: FileHandle,
    private readonly part: string,
    private readonly path: string,
    private readonly done: () => void,
  ) {}

  get offset(): number {
    return this.#offset;
  }

  /** @throws DmiError `image` if the piece is not the next one or too much, or cannot be written */
  async write(offset: number, data: Uint8Array): Promise<void> {
    if (offset !== this.#offset || offset + data.length > this.total) {
      await this.abort();
      throw new DmiError(
        'image',
        `image ${this.hash.slice(0, 12)}: a piece at ${offset} came where ${this.#offset} of ${this.total} was next`,
      );
    }
    this.#offset += data.length;
    this.#sum.update(data);
    try {
      // Where a disk is nearly full, a part may be written without an error.
      for (let at = 0; at < data.length; )
        at += (await this.file.write(data, at, data.length - at, offset + at)).bytesWritten;
    } catch (cause) {
      await this.abort();
      throw storeError(this.hash, dirname(this.path), cause);
    }
  }

  /** Puts the file under its name. @throws DmiError `image` if the contents do not have the hash */
  async finish(): Promise<void> {
    const sum = this.#sum.digest('hex');
    if (sum !== this.hash || this.#offset !== this.total) {
      await this.abort();
      throw new DmiError(
        'image',
        `image ${this.hash.slice(0, 12)}: what arrived has another hash (${sum.slice(0, 12)}) or size`,
      );
    }
    this.#open = false;
    try {
      await this.file.close();
      await rename(this.part, this.path);
    } catch (cause) {
      await rm(this.part, { force: true });
      throw storeError(this.hash, dirname(this.path), cause);
    }
    this.done();
  }

  async abort(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.file.close().catch(() => {});
    await rm(this.part, { force: true });
  }
}

function storeError(hash: string, dir: string, cause: unknown): DmiError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new DmiError(
    'image',
    `image ${hash.slice(0, 12)} cannot be kept in ${dir}: ${full ? 'the disk is full' : message}`,
    {
      object: dir,
      hint: 'make room there, or name another place with DMI_CACHE_DIR',
      cause,
    },
  );
}
