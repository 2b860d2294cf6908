import { describe, expect, it } from "vitest";
import { loadGenerationConfig } from "./generation-config.ts";
import { MemorySource } from "./memory-source.ts";

const config = { eosTokenIds: [7], bosTokenId: 1, padTokenId: null };
const load = (json?: object | string) =>
  loadGenerationConfig(
    new MemorySource(
      json === undefined ? {} : { "generation_config.json": typeof json === "string" ? json : JSON.stringify(json) },
      "m",
    ),
    config,
  );

describe("loadGenerationConfig", () => {
  it("falls back to config.json", async () => {
    const expected = { ...config, sampling: {} };
    expect(await load()).toEqual(expected);
    expect(await load({ eos_token_id: null, temperature: null })).toEqual(expected);
  });

  it("takes one eos token or a list, each once", async () => {
    expect((await load({ eos_token_id: 3 })).eosTokenIds).toEqual([3]);
    expect(await load({ eos_token_id: [0, 2, 0], bos_token_id: 0, pad_token_id: [5] })).toEqual({
      eosTokenIds: [0, 2],
      bosTokenId: 0,
      padTokenId: 5,
      sampling: {},
    });
  });

  it("uses sampling fields only with do_sample", async () => {
    const fields = { temperature: 0.6, top_k: 20, top_p: 0.95, min_p: 0, repetition_penalty: 1.05 };
    const all = { temperature: 0.6, topK: 20, topP: 0.95, minP: 0, repetitionPenalty: 1.05 };
    expect((await load({ do_sample: true, ...fields })).sampling).toEqual(all);
    expect((await load({ do_sample: true })).sampling).toEqual({ temperature: 1 });
    expect((await load({ do_sample: false, ...fields })).sampling).toEqual({ temperature: 0, repetitionPenalty: 1.05 });
    expect((await load(fields)).sampling).toEqual({ repetitionPenalty: 1.05 });
  });

  it.each<[object | string, RegExp]>([
    [{ eos_token_id: "2" }, /m\/generation_config\.json: eos_token_id: expected a token id or a list of them, got "2"/],
    [{ eos_token_id: [1, -1] }, /eos_token_id/],
    [{ temperature: "hot" }, /temperature: expected a number from 0 to 100/],
    [{ top_p: 1.5 }, /top_p: expected a number from 0 to 1, got 1\.5/],
    [{ do_sample: "yes" }, /do_sample: expected true or false/],
    [{ repetition_penalty: 0 }, /repetition_penalty/],
    ["[1]", /expected a JSON object, got an array/],
    ["{", /expected JSON/],
  ])("refuses %j", async (json, message) => {
    await expect(load(json)).rejects.toMatchObject({ code: "invalid_file", message: expect.stringMatching(message) });
  });
});
