/** Beam search as a client of the step loop, against a search that reads every beam afresh. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { FAKE_EOS, FAKE_VOCAB } from "../../test/support/fake-checkpoint.ts";
import { type FakeOps, loadFake } from "../../test/support/fake-ops.ts";
import { type BeamHypothesis, type BeamSearchOptions, beamSearch } from "./beam-search.ts";
import type { LLM } from "./llm.ts";

const PROMPT = Array.from({ length: 70 }, (_, i) => 300 + ((i * 37) % 900));

/** The definition: every beam is a list of tokens, whose logits come from a sequence of its own. */
async function plainSearch(llm: LLM, { numBeams, maxNewTokens }: BeamSearchOptions): Promise<[number[], number][]> {
  const logprobs = async (tokens: readonly number[]): Promise<number[]> => {
    const sequence = llm.cache.createSequence();
    const logits = [...(await llm.runner.prefill(sequence, [...PROMPT, ...tokens]))];
    sequence.release();
    const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
    return logits.map((logit) => logit - Math.log(sum));
  };
  const byScore = (a: readonly [readonly number[], number], b: readonly [readonly number[], number]): number =>
    b[1] / b[0].length - a[1] / a[0].length;
  let beams: [number[], number][] = [[[], 0]];
  let finished: [number[], number][] = [];
  for (let length = 1; length <= maxNewTokens && beams.length > 0; length++) {
    const all: [number[], number][] = [];
    for (const [tokens, before] of beams) {
      for (const [token, logprob] of (await logprobs(tokens)).entries())
        all.push([[...tokens, token], before + logprob]);
    }
    const best = all.sort((a, b) => b[1] - a[1]).slice(0, 2 * numBeams);
    finished.push(...best.filter(([tokens]) => tokens.at(-1) === FAKE_EOS));
    finished = finished.sort(byScore);
    beams = best.filter(([tokens]) => tokens.at(-1) !== FAKE_EOS).slice(0, numBeams);
    if (finished.length >= numBeams && byScore(finished[numBeams - 1]!, beams[0]!) < 0) break;
  }
  return [...finished, ...beams].sort(byScore).slice(0, numBeams);
}

const said = (hypotheses: readonly BeamHypothesis[]) => hypotheses.map(({ tokens }) => tokens);

describe.each([
  ["that draws on the host", false],
  ["that draws on the device", true],
])("beam search over a backend %s", (_name, samples) => {
  let llm: LLM;
  let ops: FakeOps;
  beforeAll(async () => {
    ({ llm, ops } = await loadFake({ samples }, { contextLength: 96 }));
  });
  afterAll(async () => {
    expect(llm.cache.numBytes, "every page was given back").toBe(0);
    await llm.dispose();
  });

  it.each([1, 2, 4])("%i beams are those of the definition, forked and dropped", async (numBeams) => {
    const options = { numBeams, maxNewTokens: 7, numReturn: numBeams };
    const expected = await plainSearch(llm, options);
    expect(expected.every(([tokens]) => tokens.length === 7)).toBe(true);
    const before = ops.valuesRead;
    const hypotheses = await beamSearch(llm, PROMPT, options);
    expect(said(hypotheses)).toEqual(expected.map(([tokens]) => tokens));
    for (const [i, [tokens, logprob]] of expected.entries()) {
      expect(hypotheses[i]!.score).toBeCloseTo(logprob / tokens.length, 6);
      expect(hypotheses[i]!.text).toBe(llm.tokenizer.decode(tokens));
    }
    // The logits of the prompt's end, and of every beam in each step.
    expect((ops.valuesRead - before) / FAKE_VOCAB).toBe(1 + 6 * numBeams);
    expect(ops.sampling?.draws ?? 0).toBe(0);
  });

  it("beams that end are kept, and the search goes on until none can beat them", async () => {
    const ending = await loadFake({ samples, endsEvery: 4 });
    const options = { numBeams: 3, maxNewTokens: 12, numReturn: 3 };
    const expected = (await plainSearch(ending.llm, options)).map(([tokens]) => tokens);
    expect(expected.some((tokens) => tokens.at(-1) === FAKE_EOS)).toBe(true);
    expect(said(await beamSearch(ending.llm, PROMPT, options))).toEqual(expected);
    expect(ending.llm.cache.numBytes).toBe(0);
    await ending.llm.dispose();
  });

  it("ends where the context does", async () => {
    const prompt = PROMPT.slice(0, 60).concat(PROMPT.slice(0, 33));
    const hypotheses = await beamSearch(llm, prompt, { numBeams: 2, numReturn: 2, maxNewTokens: 50 });
    expect(Math.max(...said(hypotheses).map(({ length }) => length))).toBe(4);
  });

  it("logits that are not finite fail the search, at the prompt's end and later", async () => {
    for (const spoilt of [PROMPT.length - 1, PROMPT.length + 2]) {
      ops.spoils = (_sequence, position) => position === spoilt;
      await expect(beamSearch(llm, PROMPT, { numBeams: 2, maxNewTokens: 8 })).rejects.toMatchObject({
        code: "invalid_file",
      });
    }
    ops.spoils = () => false;
  });

  it("a device that is lost, one that is full and a signal end it, with its pages given back", async () => {
    const search = (signal?: AbortSignal) =>
      beamSearch(llm, PROMPT, { numBeams: 3, maxNewTokens: 8, ...(signal && { signal }) });
    ops.loseDeviceAt = ops.steps + 5;
    await expect(search()).rejects.toMatchObject({ code: "device_lost" });
    ops.loseDeviceAt = Number.POSITIVE_INFINITY;
    // Room for the prompt and for none of the pages that forks copy.
    const sequence = llm.cache.createSequence();
    await llm.runner.prefill(sequence, PROMPT);
    ops.pages.limitBytes = sequence.numBytes;
    sequence.release();
    await expect(search()).rejects.toMatchObject({ code: "out_of_memory" });
    ops.pages.limitBytes = Number.POSITIVE_INFINITY;
    await expect(search(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    expect(llm.cache.numBytes).toBe(0);
  });

  it("refuses an empty prompt and options out of range", async () => {
    await expect(beamSearch(llm, [], { numBeams: 2, maxNewTokens: 2 })).rejects.toThrow("the prompt is empty");
    for (const wrong of [{ numBeams: 0 }, { numBeams: 1.5 }, { numReturn: 3 }, { numReturn: 0 }, { maxNewTokens: 0 }]) {
      const options = { numBeams: 2, maxNewTokens: 2, ...wrong };
      await expect(beamSearch(llm, PROMPT, options)).rejects.toThrow("expected numBeams ≥ numReturn ≥ 1");
    }
  });
});
