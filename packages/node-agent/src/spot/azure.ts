import * as v from 'valibot';
import { secondsUntil, watchService } from './metadata.js';
import type { WatchOptions } from './source.js';

/** As Microsoft recommends; the service cannot be waited for. */
const POLL_MS = 1_000;
const NAME = '/metadata/instance/compute/name?api-version=2021-02-01&format=text';
const EVENTS = '/metadata/scheduledevents?api-version=2020-07-01';
const headers = { Metadata: 'true' };

/** Events after which nothing that was in memory is there any more. */
const ENDS = new Set(['Preempt', 'Terminate', 'Reboot', 'Redeploy']);

const answer = v.object({
  Events: v.array(
    v.object({
      EventType: v.string(),
      Resources: v.array(v.string()),
      /** Empty once it has begun. */
      NotBefore: v.optional(v.string(), ''),
    }),
  ),
});

/** Azure: scheduled events that are about this machine. */
export function watchAzure(endpoint: string, options: WatchOptions): () => void {
  const pollMs = options.pollMs ?? POLL_MS;
  let name: string | null = null;
  return watchService('Azure', endpoint, options, async ask => {
    if (name === null) {
      const { status, body } = await ask(NAME, { headers });
      if (status !== 200) throw new Error(`${NAME} answers ${status}`);
      name = body.trim();
    }
    const reply = await ask(EVENTS, { headers });
    if (reply.status !== 200) throw new Error(`${EVENTS} answers ${reply.status}`);
    const { Events } = v.parse(answer, JSON.parse(reply.body));
    const mine = Events.filter(({ EventType, Resources }) => ENDS.has(EventType) && Resources.includes(name ?? ''));
    const notices = mine.map(({ EventType, NotBefore }) => ({
      reason: `Azure scheduled event: ${EventType}${NotBefore && ` not before ${NotBefore}`}`,
      seconds: NotBefore === '' ? 0 : secondsUntil(NotBefore, reply.headers),
    }));
    notices.sort((a, b) => a.seconds - b.seconds);
    return notices[0] ?? pollMs;
  });
}
