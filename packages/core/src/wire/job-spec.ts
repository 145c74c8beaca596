import * as v from 'valibot';
import { balanceOptions, POLICIES } from '../plan/options.js';
import * as f from './fields.js';

/** A file of a program image: what the guest opens as `path` has these contents. */
export const programFile = v.object({ path: f.path, hash: f.hash, size: f.count });

/** What a client asks to be run. Contents of the files travel apart, by hash. */
export const jobSpec = v.object({
  name: f.text,
  /** `main`: started once, creates its own threads (DMI_main). `spmd`: started `n` times (an ordinary main). */
  kind: v.picklist(['main', 'spmd']),
  n: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1 << 20)),
  program: f.path,
  hash: f.hash,
  /** The executable first, then its interpreter and libraries. */
  files: v.pipe(f.list(programFile, 4096), v.minLength(1)),
  argv: f.list(v.pipe(v.string(), v.maxLength(131_072)), 4096),
  env: f.list(v.pipe(v.string(), v.maxLength(131_072)), 4096),
  cwd: f.path,
  /** The client gives the first thread what it reads as its standard input; else that has ended before it begins. */
  input: v.optional(v.boolean()),
  /** Predicted bytes of one thread's memory; regions are aligned to it. */
  threadMemory: f.count,
  /** Seconds until a silent peer is reported as unreachable. */
  peerTimeout: v.pipe(v.number(), v.minValue(0.1), v.maxValue(86_400)),
  /** How threads are spread over the nodes (see plan/policy.ts); `none` leaves them where they are. */
  balance: v.picklist(POLICIES),
  /** What is set about it; absent: the defaults. */
  balancing: v.optional(balanceOptions),
  /** A smaller thread zone, for tests that want collisions. */
  zone: v.optional(v.tuple([f.count, f.count])),
});

export type ProgramFile = v.InferOutput<typeof programFile>;
export type JobSpec = v.InferOutput<typeof jobSpec>;
