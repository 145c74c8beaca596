import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ImageStore } from '@dmi/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ImageFetcher } from '../src/images.js';

const contents = Buffer.from('a program, more or less '.repeat(100));
const hash = createHash('sha256').update(contents).digest('hex');
let dir: string;
let asked: [string, number][];
let fetcher: ImageFetcher;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dmi-images-'));
  asked = [];
  fetcher = new ImageFetcher(new ImageStore(dir), (wanted, offset) => asked.push([wanted, offset]));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Answers what has been asked for, `size` bytes a piece, until nothing more is. */
async function serve(file: Buffer, size: number): Promise<void> {
  for (let quiet = 0; quiet < 20; quiet++) {
    for (const [wanted, offset] of asked.splice(0)) {
      quiet = 0;
      fetcher.piece(wanted, offset, file.length, file.subarray(offset, offset + size));
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

describe('ImageFetcher', () => {
  it('gets a file once, piece by piece, however many want it', async () => {
    const all = Promise.all([fetcher.fetch([hash, hash]), fetcher.fetch([hash])]);
    await serve(contents, 700);
    await all;
    expect(readFileSync(fetcher.store.path(hash)).equals(contents)).toBe(true);
    await fetcher.fetch([hash]);
    expect(asked).toEqual([]);
  });

  it('refuses contents that are not what was asked for, and leaves nothing behind', async () => {
    const got = fetcher.fetch([hash]);
    await Promise.all([
      expect(got).rejects.toMatchObject({ code: 'image', message: /has another hash/ }),
      serve(Buffer.from('something else'), 700),
    ]);
    expect(readdirSync(dirname(fetcher.store.path(hash)))).toEqual([]);
  });

  it('asks again for the piece it was at when the connection is back; a piece that comes twice does no harm', async () => {
    const got = fetcher.fetch([hash]);
    while (asked.length === 0) await new Promise(resolve => setTimeout(resolve, 5));
    asked.splice(0);
    fetcher.reconnected();
    expect(asked).toEqual([[hash, 0]]);
    fetcher.piece(hash, 0, contents.length, contents.subarray(0, 700));
    await serve(contents, 700);
    await got;
    expect(readFileSync(fetcher.store.path(hash)).equals(contents)).toBe(true);
  });

  it('fails with the reason when the coordinator lacks the file', async () => {
    const got = fetcher.fetch([hash]);
    while (asked.length === 0) await new Promise(resolve => setTimeout(resolve, 5));
    fetcher.missing(hash, 'the coordinator does not have it');
    await expect(got).rejects.toMatchObject({
      code: 'image',
      message: `image ${hash.slice(0, 12)}: the coordinator does not have it`,
    });
  });

  it('finds a damaged file in the cache, and gets it anew', async () => {
    const first = fetcher.fetch([hash]);
    await serve(contents, 5_000);
    await first;
    const path = fetcher.store.path(hash);
    rmSync(path);
    writeFileSync(path, 'damaged');
    const again = new ImageFetcher(new ImageStore(dir), (wanted, offset) => asked.push([wanted, offset]));
    const got = again.fetch([hash]);
    while (asked.length === 0) await new Promise(resolve => setTimeout(resolve, 5));
    again.piece(hash, 0, contents.length, contents);
    await got;
    expect(readFileSync(path).equals(contents)).toBe(true);
  });
});
