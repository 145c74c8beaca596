import * as dmi from './bindings';

export function arguments_(): string[] {
  const list: string[] = [];
  for (let i = 1, length = dmi.argument(i); length != usize.MAX_VALUE; length = dmi.argument(++i))
    list.push(dmi.takeText(length));
  return list;
}

export function environment(name: string): string | null {
  const bytes = String.UTF8.encode(name);
  const length = dmi.environment(changetype<usize>(bytes), bytes.byteLength);
  return length == usize.MAX_VALUE ? null : dmi.takeText(length);
}

export function threads(): i32 {
  return dmi.threads();
}

export function exit(status: i32): void {
  dmi.exit(status);
}

export function sleep(milliseconds: f64): void {
  dmi.sleep(milliseconds / 1000);
}
