import { fileURLToPath } from 'node:url';
import { Network } from '../../scripts/dist/network.js';
import { Cluster, firstLine, said } from './cluster.js';
import { measureDrain } from './drain.js';
import { compare, type Measurement, parseMeasurements, type Result } from './result.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const LINK = '10gbit';

/**
 * Moves between machines of their own, whose links carry 10 Gbit/s each, beside what one TCP connection gets out of such a link. Nothing
 * where there can be no such machines, which stderr says.
 */
export async function measureOverLinks(): Promise<Result[]> {
  const missing = Network.missing();
  if (missing !== null) {
    process.stderr.write(`moves over links of ${LINK} are left out: ${missing}\n`);
    return [];
  }
  const machines = ['hub', 'full', 'empty'];
  const network = Network.of(machines);
  const onExit = () => network.remove();
  process.once('exit', onExit);
  try {
    for (const machine of machines) network.limit(machine, LINK);
    const overLink = (measured: Measurement): Measurement => ({ ...measured, name: `${measured.name}-10Gbit` });
    const raw = overLink(await stream(network));
    return [await move(network), await measureDrain(128, 40, network)].map(ours => compare(overLink(ours), raw));
  } finally {
    process.off('exit', onExit);
    network.remove();
  }
}

/** One TCP connection, from the machine that will be drained to the one that is empty. */
async function stream(network: Network): Promise<Measurement> {
  const cluster = new Cluster(network);
  try {
    const baseline = `${root}native/build/bench/tcp_baseline`;
    const port = await firstLine(cluster.start('empty', [baseline, 'receive']), 'tcp_baseline receive');
    const sender = cluster.start('full', [baseline, 'send', network.address('empty'), port]);
    return only(await said(sender, 'tcp_baseline send'));
  } finally {
    await cluster.stop();
  }
}

/** A thread of 1 GiB that moves itself. */
async function move(network: Network): Promise<Measurement> {
  const cluster = new Cluster(network);
  try {
    await cluster.coordinate();
    await cluster.join('full');
    await cluster.join('empty');
    const options = ['-n', '1', '--balance', 'none', '--thread-memory', '2G'];
    const job = cluster.dmi('hub', 'run', ...options, '--', `${root}bench/guests/build/move_self`, '1GiB', '3');
    return only(await said(job, 'move_self'));
  } finally {
    await cluster.stop();
  }
}

function only(output: string): Measurement {
  const [measured] = parseMeasurements(output);
  if (!measured) throw new Error(`no measurement in: ${output}`);
  return measured;
}
