import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DmiError } from '@dmi/core';

/** Where dmi-host is: DMI_HOST_BIN, or the checkout's native build. @throws DmiError `host`, with the places tried */
export function findHostBinary(env: NodeJS.ProcessEnv = process.env): string {
  const places = env.DMI_HOST_BIN
    ? [env.DMI_HOST_BIN]
    : ['../../../native/build/bin/dmi-host', '../bin/dmi-host'].map(place =>
        fileURLToPath(new URL(place, import.meta.url)),
      );
  for (const place of places) {
    try {
      accessSync(place, constants.X_OK);
      return place;
    } catch {
      // try the next one
    }
  }
  throw new DmiError('host', `dmi-host is not there (tried ${places.join(', ')})`, {
    object: 'dmi-host',
    hint: env.DMI_HOST_BIN ? 'DMI_HOST_BIN must name an executable' : 'build it: npm run build',
  });
}
