/** @file `turboquant inspect` as a user types it, in this process, on the smaller embedded checkpoint. */
import { describe, expect, it } from "vitest";
import "../../node/install.ts";
import { runCommand } from "../../../test/support/cli-io.ts";

describe("inspect", () => {
  it("model and format as text and as JSON", async () => {
    const { out } = await runCommand(["inspect", "qwen3-1m", "--kv", "k5v4,layers=0:k8v8", "--ctx", "640"]);
    expect(out).toContain("4 × 128, feed-forward");
    expect(out).toMatch(/^0 +tq8 +tq8 +8 +8 +8\.250 +264 /m);
    expect(out).toMatch(/^1–3 +tq5 +tq4 +4\+1 +4 +4\.750 +152 /m);
    const { model, kv, tensors } = JSON.parse((await runCommand(["inspect", "qwen3-1m", "--json", "--tensors"])).out);
    expect(model).toMatchObject({ modelType: "qwen3", numLayers: 4, headDim: 64 });
    expect(model.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(kv.layers).toHaveLength(4);
    expect(kv.layers[0]).toMatchObject({ bitsPerValue: 4.25, planesK: [4], window: 144, sinks: 16, exactBits: 8 });
    expect(tensors.length).toBe(model.tensors);
  });
});
