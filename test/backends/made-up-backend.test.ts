/** @file A backend that is registered with one call can be chosen by its name, planned and asked what it has kernels for. */
import { describe, expect, it } from "vitest";
import "../../src/node/install.ts";
import type { Backend, OpenBackend } from "../../src/backends/backend.ts";
import type { Capabilities } from "../../src/backends/capabilities.ts";
import { registerBackend } from "../../src/backends/open-backend.ts";
import { automaticBackends, backendNames } from "../../src/backends/registry.ts";
import { collect } from "../../src/engine/generation.ts";
import { LLM } from "../../src/engine/llm.ts";
import type { LoadOptions } from "../../src/engine/load-options.ts";
import { TurboQuantError } from "../../src/errors.ts";
import { planMemory } from "../../src/plan/memory-plan.ts";
import { planNotes } from "../../src/plan/notes.ts";
import { modelOfConfig } from "../../src/plan/planned-model.ts";
import { typeOf } from "../../src/quant/codecs/registry.ts";
import { fakeCheckpoint } from "../support/fake-checkpoint.ts";
import { FakeOps } from "../support/fake-ops.ts";

const MEMORY = 2 ** 19;
const WORK = 1000;

const capabilities: Capabilities = {
  maxHeadDim: 16,
  checkKv({ k, v }) {
    const other = [k, v].map(typeOf).find((type) => type !== "f16" && type !== "tq4");
    if (!other) return;
    throw new TurboQuantError("unsupported", `--kv ${other}: made-up has no kernel for it; choose f16 or k4v4`);
  },
  choosesTokens: false,
  choosesInTiers: false,
  compressesTokens: false,
  readsTokens: false,
  hasWeights: (type) => type === "f32" || type === "q8",
};

class MadeUpOps extends FakeOps {
  override readonly name = "made-up";
  override readonly capabilities = capabilities;
  readonly memory = { what: "the made-up device", bytes: MEMORY, bindingBytes: MEMORY };
}

const opened: MadeUpOps[] = [];
const madeUp: Backend & { readonly open: OpenBackend } = {
  name: "made-up",
  runsOn: "gpu",
  isAutomatic: false,
  capabilities,
  planner: {
    limits: { memoryBytes: MEMORY, bindingBytes: MEMORY, leastBindingBytes: MEMORY },
    stepsInFlight: 1,
    chunkTokens: 64,
    weightBytes: (rows, cols, type) => rows * cols * (type === "f32" ? 4 : 1),
    keepsRoom: false,
    heldPages: (count, pageBytes) => ({ bytes: count * pageBytes, bindingBytes: count * pageBytes }),
    workingBytes: () => WORK,
  },
  async open() {
    const ops = new MadeUpOps();
    opened.push(ops);
    return ops;
  },
};
registerBackend(madeUp);

const load = (options: LoadOptions = {}) => LLM.load(fakeCheckpoint(), { backend: "made-up", kv: "k4v4", ...options });

/** What a load is refused with; the backend must have been given back, without a weight. */
async function refusal(options: LoadOptions): Promise<TurboQuantError> {
  const read: string[] = [];
  const error = await load({ ...options, onProgress: ({ item }) => read.push(item) }).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TurboQuantError);
  expect(read).toEqual([]);
  expect(opened.at(-1)!.isDisposed).toBe(true);
  return error as TurboQuantError;
}

describe("a backend of its own", () => {
  it("is loaded by its name and answers", async () => {
    await using llm = await load({ contextLength: 256 });
    expect(llm.ops).toBe(opened.at(-1));
    const { tokens } = await collect(llm.generate([300, 301], { maxNewTokens: 5, temperature: 0 }));
    expect(tokens).toHaveLength(5);
  });

  it("is one of the names, and never what auto takes", async () => {
    expect(backendNames()).toEqual(["wasm", "webgpu", "reference", "made-up"]);
    expect(automaticBackends().map(({ name }) => name)).toEqual(["webgpu", "wasm"]);
    expect(() => registerBackend(madeUp)).toThrow("made-up is registered already");
    expect(() => registerBackend({ ...madeUp, name: "auto" })).toThrow("choose another name");
    await expect(load({ backend: "made-out" })).rejects.toMatchObject({
      code: "unsupported",
      message: "backend made-out is not in this build; choose auto, wasm, webgpu, reference or made-up",
    });
  });

  it("refuses formats in its own words, also those that are asked for later, before a weight is read", async () => {
    for (const options of [{ kv: "q8_0" }, { kv: "f16", otherKv: ["k4v4", "q8_0"] }, { kv: "k4v4,layers=1:q8_0" }]) {
      expect(await refusal(options)).toMatchObject({
        code: "unsupported",
        message: "--kv q8_0: made-up has no kernel for it; choose f16 or k4v4",
      });
    }
  });

  it("is planned with its own bytes", async () => {
    await using llm = await load({ contextLength: 256 });
    const model = { ...modelOfConfig(llm.config, "fake", "f32"), isCalibrated: false };
    const plan = planMemory(model, { memoryBytes: 1e9, context: 256, kv: ["k4v4"], backend: "made-up" });
    const [format] = plan.formats;
    expect(plan).toMatchObject({ backend: "made-up", availableBytes: MEMORY });
    expect(plan.weights.bytes).toBe(4 * plan.weights.parameters);
    expect(format!.totalBytes).toBe(plan.weights.bytes + plan.activationBytes + format!.heldBytes + WORK);
    const tight = planMemory(model, { memoryBytes: 1e9, context: 4096, kv: ["f16"], backend: "made-up" });
    expect(planNotes(tight).map(({ text }) => text)).toContain(
      "the made-up backend addresses 0.5 MiB: no format fits it; webgpu has no such limit",
    );
    expect(() => planMemory(model, { memoryBytes: 1e9, backend: "reference" })).toThrow(
      "plan: the memory of the reference backend is not planned; choose auto, wasm, webgpu or made-up",
    );
  });

  it("is asked what fits, and offers the weights that it has", async () => {
    const { code, message } = await refusal({ kv: "f16", contextLength: 4096 });
    expect(code).toBe("out_of_memory");
    expect(message).toMatch(/^context: 4,096 tokens of f16 do not fit: .* of the made-up device; --ctx \d+ fits/);
    const { message: weights } = await refusal({ memoryBytes: 60_000 });
    expect(weights).toMatch(/^model: the weights of .*; --weights q8 takes/);
    expect(weights).not.toContain("q4");
  });
});
