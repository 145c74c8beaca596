import { readFileSync } from 'node:fs';
import { DmiError } from '@dmi/core';
import { InvalidArgumentError } from 'commander';

const UNITS: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Bytes from `512M`, `4GiB`, `65536`. */
export function size(value: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(value.trim()) ?? [];
  const bytes = Math.round(Number(digits) * (UNITS[(unit ?? '').toUpperCase()] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new InvalidArgumentError('write a size like 512M, 4G or 65536.');
  return bytes;
}

export function positive(value: string): number {
  const n = Number(value);
  if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('write a number of at least 1.');
  return n;
}

export function seconds(value: string): number {
  const n = Number(value.replace(/s$/, ''));
  if (!Number.isFinite(n) || n <= 0) throw new InvalidArgumentError('write seconds, like 30 or 1.5.');
  return n;
}

const SECONDS: Record<string, number> = { '': 1, s: 1, m: 60, h: 3600 };

/**
 * Seconds from now: `120`, `120s`, `2m`, or until a time (ISO 8601).
 * @throws DmiError `usage` for a time in the past
 */
export function deadline(value: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([smh]?)$/.exec(value.trim()) ?? [];
  const at = /^\d{4}-\d\d-\d\dT/.test(value) ? Date.parse(value) : Number.NaN;
  const left = digits === undefined ? (at - Date.now()) / 1000 : Number(digits) * (SECONDS[unit ?? ''] ?? Number.NaN);
  if (Number.isNaN(left)) throw new InvalidArgumentError('write 120s, 2m, or a time like 2030-01-31T12:00:00Z.');
  if (left > 0) return left;
  throw new DmiError(
    'usage',
    digits === undefined
      ? `the deadline ${value} is in the past (${Math.round(-left)} s ago)`
      : `the deadline ${value} leaves no time`,
    { hint: 'give the time it has, like 120s, or leave --deadline out' },
  );
}

/** The join token: from the file named, or DMI_TOKEN, or none. @throws DmiError `usage` */
export function readToken(file: string | undefined): string | null {
  if (file === undefined) return process.env.DMI_TOKEN || null;
  try {
    const token = readFileSync(file, 'utf8').trim();
    if (token === '') throw new Error('it is empty');
    return token;
  } catch (cause) {
    throw new DmiError(
      'usage',
      `cannot read the token from ${file}: ${cause instanceof Error ? cause.message : cause}`,
      { cause, hint: 'write one there: openssl rand -hex 32' },
    );
  }
}
