import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import type { Ops } from "../backends/ops.ts";
import { DEFAULT_PROMPT } from "../cli/default-prompt.ts";
import { LLM } from "../engine/llm.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { type Contender, makeContender } from "./compare.ts";
import { assertNoHiddenCopies, checkReadPath } from "./read-path.ts";

let llm: LLM;
let tokens: Int32Array;
beforeAll(async () => {
  llm = await LLM.load("qwen3-1m", { kv: "f16", threads: 1, backend: "wasm" });
  tokens = Int32Array.from(llm.tokenizer.encode(DEFAULT_PROMPT)).subarray(0, 300);
});
afterAll(async () => {
  await llm.dispose();
});

async function fed(kv: string, length: number, ops?: Ops) {
  const contender = makeContender(
    llm.decoder.withFormat(parseKvSpec(kv), [], (own) => ops ?? own),
    512,
  );
  const sequence = contender.cache.createSequence();
  await contender.runner.prefill(sequence, tokens.subarray(0, length), { logits: "none" });
  return { contender, sequence };
}

async function check(kv: string, length = 300, ops?: Ops) {
  const { contender, sequence } = await fed(kv, length, ops);
  try {
    return await checkReadPath(contender, sequence, tokens[length - 1]!, kv);
  } finally {
    sequence.release();
    expect(contender.cache.numBytes).toBe(0);
  }
}

describe("checkReadPath", () => {
  it("sees every kind of code being read", async () => {
    for (const kv of [
      "k4v4",
      "k3v5,sinks=0,window=0",
      "paper-1",
      "paper-4+qjl",
      "q8_0",
      "q4_0r",
      "kivi-4",
      "k2v4,k=f16",
    ]) {
      expect(await check(kv), kv).toBe("packed");
    }
    expect(await check("k4v4,sinks=0,window=0", 2)).toBe("packed");
  });

  it("says when there are no codes, and when sinks and window hide them all", async () => {
    expect(await check("f16")).toBe("float");
    expect(await check("f32")).toBe("float");
    expect(await check("k4v4,window=16bit", 132)).toBe("window");
    // The 133rd query is the first that reads a code: sinks 0 to 3, window 5 to 132.
    expect(await check("k4v4,window=16bit", 133)).toBe("packed");
    // And the 161st where sinks are 0 to 15, the window 17 to 160.
    expect(await check("k4v4", 160)).toBe("window");
    expect(await check("k4v4", 161)).toBe("packed");
  });

  it("leaves pages and sequence as they were", async () => {
    const { contender, sequence } = await fed("k4v4", 300);
    const pages = () =>
      contender.runner.decoder.ops.pages.read(sequence.main(1).get(0), contender.cache.layers[1]!.main.numBytes);
    const before = await pages();
    await checkReadPath(contender, sequence, tokens[299]!, "k4v4");
    expect(await pages()).toEqual(before);
    expect(sequence.length).toBe(300);
    sequence.release();
  });

  it("fails when attention reads something else than the pages, naming layer and side", async () => {
    // Pages whose bytes can be set, while the kernels go on with what they had.
    const { pages } = llm.ops;
    const shadow = new Proxy(pages, {
      get(target, key) {
        if (key === "write") return () => {};
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const ops = new Proxy(llm.ops, {
      get(target, key) {
        if (key === "pages") return shadow;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    await expect(check("k4v4", 300, ops)).rejects.toThrow(/layer 0: changing the codes of K does not change/);
    await expect(check("k4v4,k=f16", 300, ops)).rejects.toMatchObject({
      code: "internal",
      detail: { layer: 0, side: "v" },
    });
  });
});

describe("assertNoHiddenCopies", () => {
  it.each([8, 16])("finds a %i-bit page outside sinks and window, and pages of nobody", async (bits) => {
    const { contender, sequence } = await fed(`k4v4,window=32,window=${bits}bit`, 300);
    assertNoHiddenCopies(contender, sequence, "k4v4");
    const { residual } = contender.cache.layers[2]!;
    const address = contender.cache.pool.allocate(residual!.layout.numBytes);
    sequence.residual(2).set(5, address);
    expect(() => assertNoHiddenCopies(contender, sequence, "k4v4")).toThrow(
      `k4v4: layer 2 keeps ${bits}-bit rows of tokens 80 to 95`,
    );
    sequence.release();
    const [one, two] = [await fed("q8_0", 64), await fedBeside()];
    expect(() => assertNoHiddenCopies(two.contender, two.sequence, "q8_0")).toThrow(/those of the sequence are/);
    for (const { sequence } of [one, two]) sequence.release();
    two.other.release();
  });

  async function fedBeside() {
    const { contender, sequence } = await fed("q8_0", 64);
    const other = (contender as Contender).cache.createSequence();
    other.reserve(1);
    return { contender, sequence, other };
  }
});
