import { fileURLToPath } from 'node:url';

/** The top of the checkout, with a slash at its end; this file is scripts/dist/demo/paths.js when it runs. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const DMI = `${ROOT}packages/cli/bin/dmi.js`;
export const HOST = `${ROOT}native/build/bin/dmi-host`;
export const FEM = `${ROOT}examples/fem/fem`;
/** What the demo keeps between runs: decks and the unchanging run's solution. Not in git. */
export const CACHE = `${ROOT}.setup/demo`;
