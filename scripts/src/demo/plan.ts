/** What is done to the cluster while the job runs, and when, as a share of the iterations. */
export interface Step {
  readonly at: number;
  readonly join: readonly string[];
  /** Left by `dmi drain`. */
  readonly drain: readonly string[];
  /** Left by SIGTERM, as Ctrl-C on the agent's terminal would. */
  readonly interrupt: readonly string[];
}

export const INITIAL: readonly string[] = ['node-1', 'node-2'];

/** Two nodes come, later three go, the two of the start among them: what is left was not there in the beginning. */
export const STEPS: readonly Step[] = [
  { at: 1 / 3, join: ['node-3', 'node-4'], drain: [], interrupt: [] },
  { at: 2 / 3, join: [], drain: ['node-1', 'node-2'], interrupt: ['node-3'] },
];
