import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  cert: string;
  key: string;
}

/** CAs and certificates of them, made by `openssl` when they are needed. */
export class Certificates {
  readonly dir = mkdtempSync(join(tmpdir(), 'dmi-tls-'));

  /** A CA of its own. */
  ca(name: string): Certificate {
    return this.#make(name, [], ['-addext', 'keyUsage=keyCertSign']);
  }

  /** @param names subjectAltName, like `IP:127.0.0.1` */
  signed(name: string, ca: Certificate, names: string): Certificate {
    return this.#make(
      name,
      ['-CA', ca.cert, '-CAkey', ca.key],
      ['-addext', `subjectAltName=${names}`, '-addext', 'basicConstraints=critical,CA:FALSE'],
    );
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  #make(name: string, by: string[], extensions: string[]): Certificate {
    const made = { cert: join(this.dir, `${name}.pem`), key: join(this.dir, `${name}.key`) };
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', made.key];
    const args = [
      'req',
      '-x509',
      ...key,
      '-out',
      made.cert,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      ...by,
      ...extensions,
    ];
    execFileSync('openssl', args, { stdio: 'pipe' });
    return made;
  }
}
