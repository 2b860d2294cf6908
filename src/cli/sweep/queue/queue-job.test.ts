import { describe, expect, it } from "vitest";
import { job } from "../../../../test/support/sweep-job.ts";
import { jobId, type SweepJob } from "./queue-job.ts";

describe("jobId", () => {
  it("is equal for equal jobs, and another when anything of a job is", () => {
    const { model, setup, task } = job;
    const others: Partial<SweepJob>[] = [
      { build: "1.2.2 (def)" },
      ...[{ name: "n" }, { identity: "v".repeat(64) }].map((change) => ({ model: { ...model, ...change } })),
      { setup: { ...setup, base: "f32" } },
      { setup: { ...setup, needle: 1 } },
      { setup: { ...setup, backend: "wasm" } },
      { setup: { ...setup, weights: "q8" } },
      { setup: { ...setup, text: { kind: "own", tokens: 9, seed: 1 } } },
      ...[{ ctx: 65 }, { chunks: 2 }, { kv: ["k4v4", "k3v3"] }].map((change) => ({ task: { ...task, ...change } })),
    ];
    const ids = [job, ...others.map((change) => ({ ...job, ...change }))].map((one) => jobId("s1", one));
    expect(new Set(ids).size).toBe(1 + others.length);
    expect(jobId("s1", structuredClone(job))).toBe(ids[0]);
    expect(jobId("s2", job)).not.toBe(ids[0]);
  });
});
