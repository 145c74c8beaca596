import { type Ask, secondsUntil, watchService } from './metadata.js';
import type { WatchOptions } from './source.js';

/** As Amazon recommends; the service cannot be waited for. */
const POLL_MS = 5_000;
const TOKEN_SECONDS = 21_600;
const ACTION = '/latest/meta-data/spot/instance-action';

/** EC2: instance metadata, version 2 (with a session token). Notices come two minutes ahead. */
export function watchAws(endpoint: string, options: WatchOptions): () => void {
  const pollMs = options.pollMs ?? POLL_MS;
  let token: string | null = null;
  return watchService('EC2', endpoint, options, async ask => {
    token ??= await newToken(ask);
    const { status, body, headers } = await ask(ACTION, { headers: { 'X-aws-ec2-metadata-token': token } });
    if (status === 401) {
      token = null;
      return 0;
    }
    if (status === 404) return pollMs;
    if (status !== 200) throw new Error(`${ACTION} answers ${status}`);
    const { action, time } = JSON.parse(body) as { action?: unknown; time?: unknown };
    if (typeof action !== 'string' || typeof time !== 'string') throw new Error(`${ACTION} says ${body.slice(0, 200)}`);
    return { reason: `EC2 spot notice: ${action} at ${time}`, seconds: secondsUntil(time, headers) };
  });
}

async function newToken(ask: Ask): Promise<string> {
  const { status, body } = await ask('/latest/api/token', {
    method: 'PUT',
    headers: { 'X-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_SECONDS) },
  });
  if (status !== 200) throw new Error(`/latest/api/token answers ${status}`);
  return body;
}
