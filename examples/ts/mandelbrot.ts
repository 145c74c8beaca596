// mandelbrot: a picture whose rows cost very differently: each thread takes the next row when it is done with one. Writes a PNG.
//
//   dmi run --local 4 -n 16 examples/ts/mandelbrot.ts [FILE.png [WIDTH [HEIGHT]]]        default mandelbrot.png, 600, 400
//
// The next row is an atomic counter in global memory, the picture a global array with one page per row. Afterwards a sequential
// computation of every 16th row is compared with what the threads found.
import { Atomic, GlobalArray, Shared, Thread, threads, writeBytes, yieldNow } from '@dmi/as';

const MOST: i32 = 1000;

class Job {
  width: i32 = 0;
  height: i32 = 0;
  nextRow: i64 = 0;
  picture: i64 = 0;
}

/** How many iterations of z² + c stay within |z| <= 2, for each point of a row. */
function computeRow(row: i32, width: i32, height: i32, counts: StaticArray<u16>): void {
  const scale = 2.6 / (height as f64);
  const ci = ((row as f64) - (height as f64) / 2) * scale;
  for (let x = 0; x < width; x++) {
    const cr = ((x as f64) - (width as f64) * 0.7) * scale;
    let zr: f64 = 0;
    let zi: f64 = 0;
    let n = 0;
    while (n < MOST && zr * zr + zi * zi <= 4.0) {
      const t = zr * zr - zi * zi + cr;
      zi = 2.0 * zr * zi + ci;
      zr = t;
      n++;
    }
    counts[x] = n as u16;
  }
}

/** Rows until there are no more; gives how many it did. */
function work(address: i64): i64 {
  const job = Shared.at<Job>(address).get();
  const next = Atomic.at<i64>(job.nextRow);
  const picture = GlobalArray.at<u16>(job.picture);
  const counts = new StaticArray<u16>(job.width);
  let done: i64 = 0;
  for (let row = next.add(1); row < job.height; row = next.add(1)) {
    computeRow(row as i32, job.width, job.height, counts);
    picture.write(row * job.width, counts);
    done++;
    yieldNow();
  }
  return done;
}

// ---- PNG: the smallest that is one; see RFC 2083 ---------------------------------------------------------------------------

function crcTable(): StaticArray<u32> {
  const table = new StaticArray<u32>(256);
  for (let n = 0; n < 256; n++) {
    let c = n as u32;
    for (let k = 0; k < 8; k++) c = (c & 1) != 0 ? (0xedb88320 as u32) ^ (c >>> 1) : c >>> 1;
    table[n] = c;
  }
  return table;
}

class Bytes {
  private bytes: Uint8Array;
  length: i32 = 0;
  private crcs: StaticArray<u32> = crcTable();

  constructor(most: i32) {
    this.bytes = new Uint8Array(most);
  }

  byte(value: i32): void {
    this.bytes[this.length++] = value as u8;
  }

  word(value: u32): void {
    for (let shift = 24; shift >= 0; shift -= 8) this.byte(((value >>> shift) & 255) as i32);
  }

  /** The CRC-32 of what was written from `start` on. */
  crc(start: i32): u32 {
    let c: u32 = 0xffffffff;
    for (let i = start; i < this.length; i++) c = this.crcs[((c ^ (this.bytes[i] as u32)) & 255) as i32] ^ (c >>> 8);
    return ~c;
  }

  /** The Adler-32 of `n` bytes from `start` on, kept in 32 bits by its modulus. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

function beginChunk(out: Bytes, type: string, length: i32): i32 {
  out.word(length as u32);
  const start = out.length;
  for (let i = 0; i < 4; i++) out.byte(type.charCodeAt(i));
  return start;
}

/** Grey levels as a PNG: one filter byte and the values per row, in a deflate stream of stored blocks, one per row. */
function png(width: i32, height: i32, counts: StaticArray<u16>): Uint8Array {
  const out = new Bytes(64 + height * (width + 6) + 64);
  const signature: u8[] = [137, 80, 78, 71, 13, 10, 26, 10];
  for (let i = 0; i < signature.length; i++) out.byte(signature[i]);
  let start = beginChunk(out, 'IHDR', 13);
  out.word(width as u32);
  out.word(height as u32);
  out.byte(8); // bits per sample
  for (let i = 0; i < 4; i++) out.byte(0); // grey, deflate, no filter, no interlace
  out.word(out.crc(start));

  start = beginChunk(out, 'IDAT', 2 + height * (width + 6) + 4);
  out.byte(0x78);
  out.byte(0x01);
  let low: u32 = 1;
  let high: u32 = 0;
  const block = width + 1;
  for (let y = 0; y < height; y++) {
    out.byte(y == height - 1 ? 1 : 0);
    out.byte(block & 255);
    out.byte(block >> 8);
    out.byte(~block & 255);
    out.byte((~block >> 8) & 255);
    for (let x = -1; x < width; x++) {
      let value = 0;
      if (x >= 0) {
        const n = counts[y * width + x] as i32;
        value = n >= MOST ? 0 : 255 - ((n * 8) & 255);
      }
      out.byte(value);
      low = (low + (value as u32)) % 65521;
      high = (high + low) % 65521;
    }
  }
  out.word((high << 16) | low);
  out.word(out.crc(start));
  start = beginChunk(out, 'IEND', 0);
  out.word(out.crc(start));
  return out.written();
}

export function main(args: string[]): i32 {
  const file = args.length > 0 ? args[0] : 'mandelbrot.png';
  const job = new Job();
  job.width = args.length > 1 ? i32.parse(args[1]) : 600;
  job.height = args.length > 2 ? i32.parse(args[2]) : 400;
  if (job.width < 1 || job.width > 16384 || job.height < 1 || job.height > 16384) {
    console.error('usage: mandelbrot.ts [FILE.png [WIDTH [HEIGHT]]], both at most 16384');
    return 2;
  }
  const picture = new GlobalArray<u16>((job.width as i64) * job.height, job.width);
  job.picture = picture.address;
  job.nextRow = new Atomic<i64>(0).address;
  const shared = new Shared<Job>(job);
  const started = new Array<Thread>();
  for (let i = 0; i < threads(); i++) started.push(Thread.spawn(work, shared.address));
  let rows: i64 = 0;
  for (let i = 0; i < started.length; i++) rows += started[i].join();

  const counts = picture.view(0, job.width * job.height);
  const expected = new StaticArray<u16>(job.width);
  for (let y = 0; y < job.height; y += 16) {
    computeRow(y, job.width, job.height, expected);
    for (let x = 0; x < job.width; x++) {
      if (counts[y * job.width + x] != expected[x]) {
        console.error(`mandelbrot: point ${x}, ${y} differs from the sequential one`);
        return 1;
      }
    }
  }
  writeBytes(file, png(job.width, job.height, counts));
  console.log(`${rows} rows by ${started.length} threads, same as sequential: ${file}`);
  return rows == job.height ? 0 : 1;
}
