/** @file Several memories of one backend: the same threads compute in each, rows cross between them, all end together. */
import { expect, it } from "vitest";
import "../../node/install.ts";
import { download, gaussians, partOf, upload } from "../../../test/support/wasm-backend.ts";
import { getPlatform, setPlatform } from "../../platform.ts";
import { createWasmBackend } from "./backend.ts";

const [ROWS, COLS] = [8, 4096];

it.each([1, 3])("computes in each memory on the same %i threads, with the same bits", async (threads) => {
  const platform = getPlatform();
  let started = 0;
  setPlatform({
    ...platform,
    spawnWorker: (source) => {
      started++;
      return platform.spawnWorker(source);
    },
  });
  const first = await createWasmBackend({ threads });
  try {
    const all = [first, await first.addMemory!(), await first.addMemory!()];
    expect(started).toBe(threads - 1);
    const [x, w] = [gaussians(1, COLS), gaussians(2, ROWS * COLS)];
    const places = all.map((ops) => ({
      ops,
      x: upload(ops, x),
      w: ops.loadWeight([partOf(w, COLS)], "q8"),
      out: ops.alloc(ROWS),
    }));
    const results: Float32Array[] = [];
    // One after the other, so that every worker changes memories from run to run.
    for (let round = 0; round < 50; round++) {
      for (const { ops, x, w, out } of places) ops.linear(x, w, null, 1, out, false);
      for (const { out } of places) results.push(await download(first, out));
    }
    for (const result of results) expect(result).toEqual(results[0]);

    const [source, target] = [places[0]!, places[2]!];
    target.ops.receive!(source.out, ROWS - 1, target.x);
    const received = await first.readback(target.x, ROWS);
    expect(received.subarray(0, ROWS - 1)).toEqual(results[0]!.subarray(0, ROWS - 1));
    expect(received[ROWS - 1]).toBe(x[ROWS - 1]);
    expect(() => target.ops.linear(source.x, target.w, null, 1, target.out, false)).toThrow(
      "a buffer of another memory",
    );
    expect(all.map(({ usedBytes }) => usedBytes)).toEqual(Array(3).fill(first.usedBytes));
    expect(first.explain!()[0]).toMatch(/in use, in 3 memories of at most 4096\.0 MiB/);

    await first.dispose();
    for (const ops of all) expect(() => ops.alloc(1 << 20)).toThrow(/disposed; load the model again/);
    await expect(first.addMemory!()).rejects.toMatchObject({ code: "device_lost" });
  } finally {
    setPlatform(platform);
    await first.dispose();
  }
});
