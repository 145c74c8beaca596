import { watchService } from './metadata.js';
import type { WatchOptions } from './source.js';

const PREEMPTED = '/computeMetadata/v1/instance/preempted';
/** The service answers when the value changes, or after this long. */
const WAIT_SECONDS = 300;
/** Between preemption and the end, by Google's documentation. */
const NOTICE_SECONDS = 30;

/** Compute Engine: the value `preempted`, waited for. */
export function watchGce(endpoint: string, options: WatchOptions): () => void {
  let etag: string | null = null;
  return watchService('Compute Engine', endpoint, options, async ask => {
    const wait =
      etag === null ? '' : `?wait_for_change=true&timeout_sec=${WAIT_SECONDS}&last_etag=${encodeURIComponent(etag)}`;
    const { status, body, headers } = await ask(PREEMPTED + wait, {
      headers: { 'Metadata-Flavor': 'Google' },
      waitMs: wait === '' ? 0 : WAIT_SECONDS * 1000,
    });
    if (status !== 200) throw new Error(`${PREEMPTED} answers ${status}`);
    if (headers.get('metadata-flavor') !== 'Google') throw new Error('it is not the metadata service of Google');
    if (body.trim() === 'TRUE') return { reason: 'Compute Engine preempts this machine', seconds: NOTICE_SECONDS };
    etag = headers.get('etag');
    // Without a tag it cannot be waited for.
    return etag === null ? (options.pollMs ?? 1_000) : 0;
  });
}
