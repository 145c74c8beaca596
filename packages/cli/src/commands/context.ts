import { Client } from '@dmi/core';
import type { Command } from 'commander';
import type { Format } from '../show/table.js';
import { type TlsFlags, tlsFiles, tlsOptions } from '../tls-flags.js';
import { readToken } from '../values.js';

/** Options of every command that talks to a coordinator. */
export interface ClientFlags extends TlsFlags {
  address?: string;
  tokenFile?: string;
}

export function clientOptions(command: Command): Command {
  command
    .option(
      '--address <url>',
      'the coordinator, or several with commas between them (default: $DMI_ADDRESS, or ws://127.0.0.1:7070)',
    )
    .option('--token-file <file>', 'file with the join token (default: $DMI_TOKEN)');
  return tlsOptions(command);
}

/** Connects, does the work, and closes. */
export async function withClient<T>(flags: ClientFlags, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await Client.connect({
    ...(flags.address === undefined ? {} : { address: flags.address }),
    token: readToken(flags.tokenFile),
    tls: tlsFiles(flags),
  });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

export interface FormatFlags {
  output: Format;
}

/** Writes all of `text` to stdout before it returns. */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => process.stdout.write(text, error => (error ? reject(error) : resolve())));
}

/** A message for people. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
