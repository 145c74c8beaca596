import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { parseSpot, type SpotNotice, type SpotSource, watchSpot } from '../src/spot/source.js';

const quiet: Logger = pino({ level: 'silent' });
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A stand-in for a metadata service. */
async function serve(handler: Handler): Promise<string> {
  const server: Server = createServer(handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function notice(source: SpotSource, log: Logger = quiet): Promise<SpotNotice> {
  return new Promise(resolve => ends.push(watchSpot(source, { onNotice: resolve, log, pollMs: 20 })));
}

const at = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();

describe('aws', () => {
  it('fetches a token, asks until there is an action, and renews a token that has expired', async () => {
    const asked: string[] = [];
    let tokens = 0;
    const endpoint = await serve((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      if (request.url === '/latest/api/token') {
        expect(request.method).toBe('PUT');
        expect(request.headers['x-aws-ec2-metadata-token-ttl-seconds']).toBe('21600');
        response.end(`token-${++tokens}`);
        return;
      }
      const token = request.headers['x-aws-ec2-metadata-token'];
      if (token !== `token-${tokens}`) response.writeHead(401).end();
      else if (asked.length === 3)
        response.writeHead(401).end(); // it has expired
      else if (asked.length < 7) response.writeHead(404).end();
      else response.end(JSON.stringify({ action: 'terminate', time: at(120) }));
    });
    const { reason, seconds } = await notice({ kind: 'aws', endpoint });
    expect(reason).toMatch(/^EC2 spot notice: terminate at 20/);
    expect(seconds).toBeGreaterThan(100);
    expect(seconds).toBeLessThanOrEqual(121);
    expect(tokens).toBe(2);
    expect(asked.at(-1)).toBe('GET /latest/meta-data/spot/instance-action');
  });

  it('goes by the clock of the service, not by its own', async () => {
    const endpoint = await serve((request, response) => {
      if (request.url === '/latest/api/token') response.end('t');
      else {
        response.setHeader('date', 'Sat, 01 Jan 2000 00:00:00 GMT');
        response.end(JSON.stringify({ action: 'stop', time: '2000-01-01T00:01:30Z' }));
      }
    });
    expect((await notice({ kind: 'aws', endpoint })).seconds).toBe(90);
  });

  it('complains once about a service that is not there, or says nonsense, and tries on', async () => {
    const lines: string[] = [];
    const log = { warn: (text: string) => lines.push(text) } as unknown as Logger;
    let asked = 0;
    const endpoint = await serve((request, response) => {
      if (request.url === '/latest/api/token') response.end('t');
      else if (++asked < 2) response.end('{"action": 7}');
      else response.end(JSON.stringify({ action: 'terminate', time: at(10) }));
    });
    await notice({ kind: 'aws', endpoint }, log);
    expect(lines).toEqual([
      `no spot notices from EC2 at ${endpoint} for now: /latest/meta-data/spot/instance-action says {"action": 7}; trying on (--spot none ends that)`,
    ]);
  });
});

describe('gce', () => {
  it('waits for the value to change, from the last one that it knows', async () => {
    const asked: string[] = [];
    const endpoint = await serve((request, response) => {
      asked.push(request.url ?? '');
      expect(request.headers['metadata-flavor']).toBe('Google');
      response.setHeader('Metadata-Flavor', 'Google');
      response.setHeader('ETag', `e${asked.length}`);
      // The second answer comes because the time is up, the third because of the change.
      if (asked.length < 3) response.end('FALSE');
      else setTimeout(() => response.end('TRUE'), 50);
    });
    expect(await notice({ kind: 'gce', endpoint })).toEqual({
      reason: 'Compute Engine preempts this machine',
      seconds: 30,
    });
    const path = '/computeMetadata/v1/instance/preempted';
    expect(asked).toEqual([
      path,
      `${path}?wait_for_change=true&timeout_sec=300&last_etag=e1`,
      `${path}?wait_for_change=true&timeout_sec=300&last_etag=e2`,
    ]);
  });

  it('does not believe a service that is not Google’s', async () => {
    const said = new Promise<string>(resolve => {
      void serve((_request, response) => response.end('TRUE')).then(endpoint =>
        notice({ kind: 'gce', endpoint }, { warn: resolve } as unknown as Logger),
      );
    });
    expect(await said).toMatch(/it is not the metadata service of Google/);
  });
});

describe('azure', () => {
  it('heeds events that end this machine, and only those', async () => {
    let asked = 0;
    const event = (EventType: string, machine: string, seconds: number) => ({
      EventId: 'x',
      EventType,
      ResourceType: 'VirtualMachine',
      Resources: [machine],
      EventStatus: 'Scheduled',
      NotBefore: new Date(Date.now() + seconds * 1000).toUTCString(),
    });
    const endpoint = await serve((request, response) => {
      expect(request.headers.metadata).toBe('true');
      if (request.url?.startsWith('/metadata/instance/compute/name')) {
        response.end('vm-7');
        return;
      }
      expect(request.url).toBe('/metadata/scheduledevents?api-version=2020-07-01');
      const others = [event('Freeze', 'vm-7', 5), event('Preempt', 'vm-8', 5)];
      const mine = [event('Reboot', 'vm-7', 900), event('Preempt', 'vm-7', 30)];
      response.end(JSON.stringify({ DocumentIncarnation: 1, Events: ++asked < 3 ? others : [...others, ...mine] }));
    });
    const { reason, seconds } = await notice({ kind: 'azure', endpoint });
    expect(asked).toBe(3);
    expect(reason).toMatch(/^Azure scheduled event: Preempt not before /);
    expect(seconds).toBeGreaterThan(25);
    expect(seconds).toBeLessThanOrEqual(31);
  });
});

describe('a file', () => {
  it.each([
    ['90', 90],
    ['', 120],
    [at(45), 45],
    ['soon', 120],
  ])('that says %s leaves that time', async (text, expected) => {
    const own = mkdtempSync(join(tmpdir(), 'dmi-spot-file-'));
    ends.push(() => rmSync(own, { recursive: true, force: true }));
    const found = notice({ kind: 'file', path: join(own, 'notice') });
    writeFileSync(join(own, 'other'), '1');
    writeFileSync(join(own, 'part'), text);
    renameSync(join(own, 'part'), join(own, 'notice'));
    const { reason, seconds } = await found;
    expect(reason).toContain(`${join(own, 'notice')} is there`);
    expect(Math.abs(seconds - expected)).toBeLessThan(20);
  });

  it('counts when it was there before', async () => {
    const own = mkdtempSync(join(tmpdir(), 'dmi-spot-file-'));
    ends.push(() => rmSync(own, { recursive: true, force: true }));
    writeFileSync(join(own, 'notice'), '10');
    expect((await notice({ kind: 'file', path: join(own, 'notice') })).seconds).toBeGreaterThan(0);
  });

  it('needs a directory', () => {
    expect(() => watchSpot({ kind: 'file', path: '/nosuch/file' }, { onNotice: () => {}, log: quiet })).toThrow(
      /cannot watch for \/nosuch\/file: /,
    );
  });
});

describe('--spot', () => {
  it('reads sources, and names what it does not know', () => {
    expect(parseSpot('aws')).toEqual({ kind: 'aws' });
    expect(parseSpot('none')).toEqual({ kind: 'none' });
    expect(parseSpot('gce=http://[::1]:80')).toEqual({ kind: 'gce', endpoint: 'http://[::1]:80' });
    expect(parseSpot('file:/run/x:y')).toEqual({ kind: 'file', path: '/run/x:y' });
    expect(parseSpot('sigterm:30')).toEqual({ kind: 'sigterm', seconds: 30 });
    for (const wrong of ['ec2', '', 'file:', 'sigterm', 'sigterm:-1', 'aws:x', 'aws=x', 'none=http://x'])
      expect(() => parseSpot(wrong)).toThrow(`"${wrong}" is no source of spot notices`);
  });
});
