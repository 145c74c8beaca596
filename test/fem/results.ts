import { readFileSync } from 'node:fs';

/** By node number: three displacements, and stresses xx yy zz xy yz zx. */
export interface NodalResults {
  readonly displacement: ReadonlyMap<number, readonly number[]>;
  readonly stress: ReadonlyMap<number, readonly number[]>;
}

/** The result blocks of a CalculiX .frd file (fixed columns: CGX manual, "Result Format"). */
export function readFrd(path: string): NodalResults {
  const blocks = new Map<string, Map<number, number[]>>();
  let block: Map<number, number[]> | undefined;
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    if (line.startsWith(' -4')) {
      block = new Map();
      blocks.set(line.slice(5, 13).trim(), block);
    } else if (line.startsWith(' -3')) {
      block = undefined;
    } else if (line.startsWith(' -1') && block) {
      const values = (line.slice(13).match(/.{12}/g) ?? []).map(Number);
      block.set(Number(line.slice(3, 13)), values);
    }
  }
  return { displacement: known(blocks.get('DISP')), stress: known(blocks.get('STRESS')) };
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the .frd file lacks displacements or stresses');
  return value;
}

/** One named array of a .vtu file whose data are inline base64, a 64-bit length in front. */
export function vtuArray(path: string, name: string): readonly number[] {
  const array = new RegExp(`<DataArray type="(\\w+)" Name="${name}"[^>]*>\\n([^<]*)\\n</DataArray>`);
  const [, type, text] = array.exec(readFileSync(path, 'latin1')) ?? [];
  if (type === undefined || text === undefined) throw new Error(`${path} has no array ${name}`);
  const all = Buffer.from(text, 'base64');
  const length = all.readBigUInt64LE();
  const bytes = all.subarray(8);
  if (BigInt(bytes.length) !== length) throw new Error(`${path}: array ${name} has ${bytes.length} of ${length} bytes`);
  const { buffer, byteOffset } = bytes;
  const data = buffer.slice(byteOffset, byteOffset + bytes.length);
  if (type === 'Float64') return [...new Float64Array(data)];
  if (type === 'Int32') return [...new Int32Array(data)];
  if (type === 'Int64') return [...new BigInt64Array(data)].map(Number);
  throw new Error(`${path}: array ${name} has the type ${type}`);
}

export function readVtu(path: string): NodalResults {
  const numbers = vtuArray(path, 'nodeNumber');
  const rows = (name: string, width: number) => {
    const values = vtuArray(path, name);
    return new Map(numbers.map((number, i) => [number, values.slice(width * i, width * (i + 1))]));
  };
  return { displacement: rows('displacement', 3), stress: rows('stress', 6) };
}

/** The displacement table of a .dat file. */
export function readDat(text: string): ReadonlyMap<number, readonly number[]> {
  const table = new Map<number, number[]>();
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/).map(Number);
    const [number, ...values] = fields;
    if (line.includes('stresses')) break;
    if (number !== undefined && values.length === 3 && fields.every(Number.isFinite)) table.set(number, values);
  }
  return table;
}

/** The largest difference between two tables, relative to the largest number in the second. */
export function difference(
  table: ReadonlyMap<number, readonly number[]>,
  reference: ReadonlyMap<number, readonly number[]>,
): number {
  let largest = 0;
  let apart = 0;
  for (const [number, values] of table) {
    const expected = reference.get(number);
    if (!expected) throw new Error(`the reference lacks node ${number}`);
    values.forEach((value, i) => {
      largest = Math.max(largest, Math.abs(expected[i] ?? Number.NaN));
      apart = Math.max(apart, Math.abs(value - (expected[i] ?? Number.NaN)));
    });
  }
  if (!(largest > 0)) throw new Error('the reference is zero everywhere');
  return apart / largest;
}
