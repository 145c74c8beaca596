import { type Attachment, Client } from '@dmi/core';
import { GlobalMemory, type GlobalMemoryOptions, type ViewChange } from './global-memory.js';

export interface AttachOptions
  extends Pick<GlobalMemoryOptions, 'bindHost' | 'bindPort' | 'peerTimeout' | 'onLog' | 'onUnreachable'> {
  /** Id of the running job, or a unique prefix. */
  job: string;
  /** The coordinator, `ws://host:port`; default DMI_ADDRESS, or the default port on this machine. */
  address?: string;
  /** Join token; default DMI_TOKEN. */
  token?: string;
  /** Where the job's hosts reach our data port; default: bindHost. */
  advertiseHost?: string;
}

/** Where a member's identity and views come from. The coordinator's client gives one; tests make their own. */
export interface ViewSource extends Pick<Attachment, 'job' | 'key' | 'member' | 'build' | 'announce' | 'detach'> {
  onView(listener: (change: ViewChange) => void): void;
}

/** Becomes a member of the job that `source` stands for; resolves when we are in its view. */
export async function join(
  source: ViewSource,
  options: Omit<AttachOptions, 'job' | 'address' | 'token'> = {},
): Promise<GlobalMemory> {
  const { advertiseHost, ...rest } = options;
  const memory = new GlobalMemory({
    ...rest,
    job: source.job,
    key: source.key,
    member: source.member,
    build: source.build,
    state: 'lite',
  });
  memory.onClose(() => source.detach());
  try {
    const inView = new Promise<void>(resolve => {
      source.onView(change => {
        if (change.gone.includes(source.member))
          return memory.abandon(`member ${source.member} was put out of the job`);
        memory.applyView(change);
        resolve();
      });
    });
    await source.announce(advertiseHost ?? options.bindHost ?? '127.0.0.1', memory.port);
    await inView;
  } catch (error) {
    memory.abandon('attaching failed');
    throw error;
  }
  return memory;
}

const ENDED: ReadonlySet<string> = new Set(['done', 'failed', 'cancelled']);

/**
 * Attaches this program to the global memory of a running job.
 *
 * ```ts
 * await using memory = await attach({ job: 'fem-3f2a' });
 * const residuals = memory.array(Float64Array, address, 16);
 * console.log(await residuals.read());
 * ```
 */
export async function attach(options: AttachOptions): Promise<GlobalMemory> {
  const { job, address, token, ...rest } = options;
  const client = await Client.connect({
    ...(address === undefined ? {} : { address }),
    ...(token === undefined ? {} : { token }),
  });
  try {
    const attachment = await client.attach(job);
    const memory = await join(attachment as ViewSource, rest);
    let stop = () => {};
    memory.onClose(async () => {
      stop();
      try {
        await attachment.detach();
      } finally {
        await client.close();
      }
    });
    const over = (why: string) => {
      memory.abandon(why);
      void client.close();
    };
    stop = await client.subscribe(event => {
      if (event.event === 'job' && event.job === attachment.job && ENDED.has(event.state))
        over(`job ${event.job} has ended: it is ${event.state}`);
    });
    // It may have ended before we listened.
    const now = (await client.jobs()).find(one => one.job === attachment.job);
    if (!now || ENDED.has(now.state)) over(`job ${attachment.job} has ended`);
    void client.closed.then(
      error => error && memory.abandon(`the coordinator is not there any more: ${error.message}`),
    );
    return memory;
  } catch (error) {
    await client.close();
    throw error;
  }
}
