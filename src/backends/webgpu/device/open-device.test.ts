/** @file Adapters that cannot be used: each is refused with what is missing and the next step. No GPU takes part. */
import { afterEach, describe, expect, it } from "vitest";
import "../../../node/install.ts";
import { fakeAdapter, withAdapter } from "../../../../test/support/fake-adapter.ts";
import { nodePlatform } from "../../../node/platform.ts";
import { setPlatform } from "../../../platform.ts";
import { openDevice } from "./open-device.ts";

describe("adapters that do not do", () => {
  afterEach(() => setPlatform(nodePlatform));

  it("none at all", async () => {
    const counts = withAdapter(null);
    await expect(openDevice()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/no adapter found; install a GPU driver .* --backend wasm/),
    });
    expect(counts.released).toBe(1);
  });

  it.each([
    ["maxStorageBuffersPerShaderStage", 7],
    ["maxComputeInvocationsPerWorkgroup", 128],
    ["maxComputeWorkgroupStorageSize", 8192],
  ])("%s of %d", async (limit, has) => {
    const counts = withAdapter(fakeAdapter({ limits: { [limit]: has } }));
    await expect(openDevice()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(`${limit} of at least \\d+, got ${has} \\(acme one\\); use --backend wasm`),
      detail: { limit, has },
    });
    expect(counts.released).toBe(1);
  });

  it("one that computes on the CPU, where a GPU is wanted", async () => {
    withAdapter(fakeAdapter({ vendor: "google", architecture: "swiftshader" }));
    await expect(openDevice({ hardwareOnly: true })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/computes on the CPU \(google swiftshader\); use --backend wasm/),
    });
  });

  it("one that gives no device", async () => {
    const counts = withAdapter(fakeAdapter());
    await expect(openDevice()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/acme one gives no device \(the GPU process crashed\); close other programs/),
    });
    expect(counts.released).toBe(1);
  });
});
