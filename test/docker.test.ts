import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

function composeConfig(env: Record<string, string>) {
  const { PATH = '' } = process.env;
  return spawnSync('docker-compose', ['config'], { cwd: root, encoding: 'utf8', env: { PATH, ...env } });
}

test('docker-compose accepts the file, with a coordinator and agents that can be scaled', () => {
  const { status, stdout, stderr } = composeConfig({ DMI_TOKEN: 'secret' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  expect(stdout).toContain('coordinator:');
  expect(stdout).toContain('agent:');
  // A service with a name or a host port of its own could not be scaled.
  const agent = stdout.slice(stdout.indexOf('  agent:'), stdout.indexOf('  client:'));
  expect(agent).toContain('stop_signal: SIGTERM');
  expect(agent).not.toContain('container_name');
  expect(agent).not.toContain('ports:');
});

test('docker-compose refuses to start a cluster without a token, and says what to set', () => {
  const { status, stderr } = composeConfig({});
  expect(status).not.toBe(0);
  expect(stderr).toContain('DMI_TOKEN');
});

test('the image carries what the roles need', () => {
  const dockerfile = readFileSync(`${root}/Dockerfile`, 'utf8');
  for (const path of ['native/build/bin', 'native/build/lib', 'native/build/include', 'packages', 'node_modules']) {
    expect(dockerfile).toContain(`/opt/dmi/${path} `);
  }
});
