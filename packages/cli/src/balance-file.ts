import { type BalanceOptions, balanceOptions, DmiError } from '@dmi/core';
import { readJson } from './json-file.js';

/** The value of --balance-options. @throws DmiError `usage` */
export function balanceFile(file: string): BalanceOptions {
  try {
    return readJson(balanceOptions, file, 'balance options');
  } catch (error) {
    if (!(error instanceof DmiError)) throw error;
    throw new DmiError('usage', error.message, {
      object: file,
      hint: 'members: tolerance, interval, cooldown, horizon, rate, hostSeconds, weights, sharing (docs/balancing.md)',
      cause: error,
    });
  }
}
