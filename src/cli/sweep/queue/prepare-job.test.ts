import type { Redis } from "ioredis";
import { describe, expect, it, vi } from "vitest";
import { BUILD, job, WEIGHTS } from "../../../../test/support/sweep-job.ts";
import { sha256Hex } from "../../../formats/sha256.ts";
import { JobPreparation } from "./prepare-job.ts";
import type { SweepJob } from "./queue-job.ts";

const TEXT = "A text that all workers need.";

describe("JobPreparation", () => {
  const serverOf = (text: string | null) => ({ get: async () => text }) as unknown as Redis;
  const prepare = (changes: Partial<SweepJob>, text: string | null = null, identity = WEIGHTS) =>
    new JobPreparation({ build: BUILD, models: undefined, threads: 3, identityOf: async () => identity }).prepare(
      { ...job, ...changes },
      serverOf(text),
      new AbortController().signal,
    );

  it("takes a job with this host's threads, and a text of the server that is the right one", async () => {
    expect(await prepare({})).toMatchObject({ ref: "m", setup: { threads: 3, text: { kind: "own" } } });
    const sha256 = sha256Hex([new TextEncoder().encode(TEXT)]);
    const setup = { ...job.setup, text: { kind: "given", sha256, source: "text.txt" } } as const;
    expect(await prepare({ setup }, TEXT)).toMatchObject({ setup: { text: { text: TEXT, source: "text.txt" } } });
    for (const text of [null, "another"]) expect(await prepare({ setup }, text)).toMatch(/its text is not on the/);
  });

  it("reads a model once for slots that begin together, and again after it was not there or another", async () => {
    const found: (() => string)[] = [
      () => {
        throw new Error("no such file");
      },
      () => "v".repeat(64),
      () => WEIGHTS,
    ];
    const identityOf = vi.fn(async () => found.shift()!());
    const host = new JobPreparation({ build: BUILD, models: undefined, threads: 1, identityOf });
    const { signal } = new AbortController();
    const prepareTwice = () => Promise.all([0, 1].map(() => host.prepare(job, serverOf(null), signal)));
    expect(await prepareTwice()).toEqual(Array(2).fill("model m is not here: no such file"));
    expect(await prepareTwice()).toEqual(Array(2).fill(expect.stringMatching(/^model m has other weights/)));
    for (let i = 0; i < 2; i++)
      expect(await prepareTwice()).toEqual(Array(2).fill(expect.objectContaining({ ref: "m" })));
    expect(identityOf).toHaveBeenCalledTimes(3);
  });

  it("tells another calibration from other weights, and names a model that is not there", async () => {
    expect(await prepare({}, null, `${WEIGHTS}+calibration:1`)).toMatch(
      /model m has another calibration than the sweep/,
    );
    const host = new JobPreparation({ build: BUILD, models: undefined, threads: 1 });
    const absent = { ...job, model: { name: "/no/such/model", identity: WEIGHTS } };
    expect(await host.prepare(absent, serverOf(null), new AbortController().signal)).toMatch(
      /^model \/no\/such\/model is not here: /,
    );
  });
});
