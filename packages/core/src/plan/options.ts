import * as v from 'valibot';

// What a job may set about how it is balanced (`dmi run --balance-options FILE`). Every member has a default, and one that
// nobody knows is refused: a misspelt member would otherwise be silently without effect.

export const POLICIES = ['threads', 'load', 'affinity', 'none'] as const;
export type PolicyName = (typeof POLICIES)[number];

const positive = (max: number) => v.pipe(v.number(), v.finite(), v.gtValue(0), v.maxValue(max));
const weight = v.optional(v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(1e6)), 1);

/** A first thread by its number in the job (`DMI_RANK`), or any thread by its id. */
const WHO = 'neither a thread’s number in the job nor a thread id like "0.3"';
const who = v.union(
  [
    v.pipe(v.number(), v.integer(WHO), v.minValue(0, WHO), v.maxValue(1 << 20, WHO)),
    v.pipe(v.string(), v.regex(/^\d{1,10}\.\d{1,10}$/, WHO)),
  ],
  WHO,
);

export const balanceOptions = v.strictObject({
  /** A node may be this much above the average before threads are moved for it: 0.15 is 15 %. */
  tolerance: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0.01), v.maxValue(10)), 0.15),
  /** Seconds between two measurements. */
  interval: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0.1), v.maxValue(3600)), 2),
  /** Seconds that a thread stays where it was put, unless its node is leaving. */
  cooldown: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(86_400)), 10),
  /** `affinity`: seconds over which a move has to pay. */
  horizon: v.optional(positive(86_400), 30),
  /** `affinity`: bytes per second that the network carries. */
  rate: v.optional(positive(1e13), 1e9),
  /** `affinity`: seconds that one more host on a node costs (addresses that are taken there). */
  hostSeconds: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(3600)), 0.2),
  weights: v.optional(v.strictObject({ load: weight, bytes: weight, hosts: weight, sharing: weight }), {}),
  /** `affinity`: pairs of threads that use the same pages, with the bytes per second that go between them when apart. */
  sharing: v.optional(
    v.pipe(v.array(v.tuple([who, who, v.pipe(v.number(), v.finite(), v.minValue(0))])), v.maxLength(65_536)),
    [],
  ),
});

export type BalanceOptions = v.InferOutput<typeof balanceOptions>;
export const DEFAULT_BALANCE: BalanceOptions = v.parse(balanceOptions, {});
