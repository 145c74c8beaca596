import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folders of this package, as it is installed. */
export const LIBRARY = fileURLToPath(new URL('../assembly/', import.meta.url));
export const RUNTIME = fileURLToPath(new URL('../runtime/', import.meta.url));
export const PACKAGE = fileURLToPath(new URL('../', import.meta.url));

/** Where compiled programs are kept: beside the images of the agents, in the user's cache. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.DMI_CACHE_DIR) return join(env.DMI_CACHE_DIR, 'typescript');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'dmi', 'typescript');
}
