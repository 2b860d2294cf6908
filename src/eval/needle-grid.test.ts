import { afterAll, beforeAll, expect, it } from "vitest";
import "../node/install.ts";
import { DEFAULT_PROMPT } from "../cli/default-prompt.ts";
import { LLM } from "../engine/llm.ts";
import { makeContender } from "./compare.ts";
import { recalls } from "./needle.ts";
import { checkGrid, gridCells, gridPrompts, recallsAll } from "./needle-grid.ts";

const GRID = { lengths: [256, 700], depths: [0, 0.5, 1], prompts: 2 };

let llm: LLM;
beforeAll(async () => {
  llm = await LLM.load("qwen3-1m", { kv: "f16", threads: 1, backend: "wasm" });
});
afterAll(async () => {
  await llm.dispose();
});

it("prompts have their length, and each code lies at its depth", async () => {
  const prompts = await gridPrompts(llm.tokenizer, DEFAULT_PROMPT, GRID);
  expect(prompts.map((p) => p.length)).toEqual([256, 256, 700, 700]);
  expect(prompts).toEqual(await gridPrompts(llm.tokenizer, DEFAULT_PROMPT, GRID));
  for (const { length, questions, shared } of prompts) {
    expect(questions.length).toBe(3);
    for (const [i, { prompt, answer }] of questions.entries()) {
      expect(Math.abs(prompt.length - length), `${length}`).toBeLessThan(40);
      expect(prompt.slice(0, shared)).toEqual(questions[0]!.prompt.slice(0, shared));
      expect(shared).toBeGreaterThan(prompt.length - 40);
      const text = llm.tokenizer.decode(prompt);
      const said = text.indexOf(llm.tokenizer.decode(answer)) / text.length;
      // Sentences stand between paragraphs: a depth is met within half a paragraph of up to 200 tokens.
      expect(Math.abs(said - GRID.depths[i]!), `${length} at ${GRID.depths[i]}`).toBeLessThan(0.12 + 110 / length);
    }
    // In the order of the depths.
    const places = questions.map(({ prompt, answer }) =>
      llm.tokenizer.decode(prompt).indexOf(llm.tokenizer.decode(answer)),
    );
    expect(places).toEqual([...places].sort((a, b) => a - b));
  }
});

it("forked questions are answered as whole prompts are", async () => {
  const [first] = await gridPrompts(llm.tokenizer, DEFAULT_PROMPT, GRID);
  // Answers that this small model does give: its own greedy ones for two of three questions.
  const questions = [];
  for (const [i, { prompt, answer }] of first!.questions.entries()) {
    const greedy: number[] = [];
    for await (const { token } of llm.generate(prompt, {
      maxNewTokens: answer.length,
      temperature: 0,
      ignoreEos: true,
    }))
      if (token !== undefined) greedy.push(token);
    questions.push({ prompt, answer: i === 1 ? greedy.with(-1, (greedy.at(-1)! + 1) % 4096) : greedy });
  }
  const contender = makeContender(llm.decoder, 1024);
  expect(await recallsAll(contender, { ...first!, questions })).toEqual([true, false, true]);
  for (const [i, question] of questions.entries()) expect(await recalls(contender, question)).toBe(i !== 1);
  expect(contender.cache.numBytes).toBe(0);
});

it("cells count hits of their length and depth", () => {
  const prompt = (length: number) => ({
    length,
    shared: 1,
    questions: [{ prompt: new Array(length + 3).fill(1), answer: [1] }],
  });
  const prompts = [prompt(256), prompt(256), prompt(700), prompt(700)];
  const hits = [
    [true, false, true],
    [true, true, false],
    [false, false, false],
    [true, false, false],
  ];
  const all = hits.map((row) => row.map(() => true));
  const cells = gridCells(GRID, prompts, hits, all);
  expect(cells.map(({ length, depth, recall }) => [length, depth, recall])).toEqual([
    [256, 0, 1],
    [256, 0.5, 0.5],
    [256, 1, 0.5],
    [700, 0, 0.5],
    [700, 0.5, 0],
    [700, 1, 0],
  ]);
  expect(cells[0]).toMatchObject({ tokens: 259, prompts: 2, recallBase: 1, recallHigh: 1 });
  expect(cells[4]).toMatchObject({ recallLow: 0, recallBase: 1 });
});

it("a grid that cannot be asked is refused", () => {
  const refuse = (grid: object, message: RegExp) =>
    expect(() => checkGrid({ ...GRID, ...grid }, 4096)).toThrow(message);
  refuse({ lengths: [64] }, /length 64: expected 128 to 4096/);
  refuse({ lengths: [5000] }, /length 5000/);
  refuse({ depths: [0, 1.5] }, /depths from 0 to 100 %/);
  refuse({ depths: [0.5, 0.5] }, /twice/);
  refuse({ depths: Array.from({ length: 9 }, (_, i) => i / 9) }, /at most 8 depths, got 9/);
  refuse({ prompts: 0 }, /at least one prompt/);
});
