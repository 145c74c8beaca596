import * as dmi from './bindings';
import { fail } from './bindings';

export function readBytes(path: string): Uint8Array {
  const name = String.UTF8.encode(path);
  const size = dmi.fileSize(changetype<usize>(name), name.byteLength);
  if (size < 0) fail('readBytes');
  if (size > 1 << 30) throw new RangeError(path + ' is too large to be read at once: ' + size.toString() + ' bytes');
  const bytes = new Uint8Array(<i32>size);
  const got = dmi.fileRead(changetype<usize>(name), name.byteLength, bytes.dataStart, <usize>size);
  if (got < 0) fail('readBytes');
  return got == size ? bytes : bytes.slice(0, <i32>got);
}

export function readFile(path: string): string {
  const bytes = readBytes(path);
  return String.UTF8.decodeUnsafe(bytes.dataStart, bytes.byteLength);
}

export function fileExists(path: string): bool {
  const name = String.UTF8.encode(path);
  return dmi.fileSize(changetype<usize>(name), name.byteLength) >= 0;
}

export function writeBytes(path: string, bytes: Uint8Array): void {
  const name = String.UTF8.encode(path);
  if (!dmi.fileWrite(changetype<usize>(name), name.byteLength, bytes.dataStart, bytes.byteLength, 0))
    fail('writeBytes');
}

function writeText(path: string, text: string, append: i32): void {
  const name = String.UTF8.encode(path);
  const bytes = String.UTF8.encode(text);
  if (!dmi.fileWrite(changetype<usize>(name), name.byteLength, changetype<usize>(bytes), bytes.byteLength, append))
    fail('writeFile');
}

export function writeFile(path: string, text: string): void {
  writeText(path, text, 0);
}

export function appendFile(path: string, text: string): void {
  writeText(path, text, 1);
}
