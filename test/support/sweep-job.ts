/** @file A job of a sweep's queue as a coordinator writes it. */
import { JOB_VERSION, type SweepJob } from "../../src/cli/sweep/queue/queue-job.ts";

export const BUILD = "1.2.3 (abc)";
export const WEIGHTS = "w".repeat(64);

export const job: SweepJob = {
  version: JOB_VERSION,
  build: BUILD,
  model: { name: "m", identity: WEIGHTS },
  setup: { base: "f16", needle: 0, backend: "auto", weights: "auto", text: { kind: "own", tokens: 9, seed: 0 } },
  task: { ctx: 64, chunks: 1, kv: ["k4v4"] },
};
