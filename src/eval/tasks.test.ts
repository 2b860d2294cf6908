import { expect, it } from "vitest";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkTasks, TASK_NAMES, taskCells, taskPrompts } from "./tasks.ts";

/** A token a character: what is asked and answered can be read back. */
const tokenizer = {
  chatTemplate: null,
  encode: (text: string) => [...text].map((c) => c.codePointAt(0)!),
} as unknown as Tokenizer;
const textOf = (tokens: readonly number[]): string => String.fromCodePoint(...tokens);

const PROSE = Array.from(
  { length: 30 },
  (_, i) => `Paragraph ${i} ${"tells of the sea and of the wind ".repeat(5)}`,
).join("\n");
const prompts = await taskPrompts(tokenizer, PROSE, { lengths: [3000], prompts: 6 });
const of = (task: (typeof TASK_NAMES)[number]) =>
  prompts.map(({ questions }) => {
    const { prompt, answer } = questions[TASK_NAMES.indexOf(task)]!;
    return { prompt: textOf(prompt), answer: textOf(answer) };
  });

it("prompts have their length, share their beginning and repeat with the seed", async () => {
  expect(await taskPrompts(tokenizer, PROSE, { lengths: [3000], prompts: 6 })).toEqual(prompts);
  expect(await taskPrompts(tokenizer, PROSE, { lengths: [3000], prompts: 6 }, 12)).not.toEqual(prompts);
  for (const { questions, shared } of prompts) {
    expect(questions).toHaveLength(TASK_NAMES.length);
    for (const { prompt } of questions) expect(Math.abs(prompt.length - 3000)).toBeLessThan(250);
    expect(shared).toBeGreaterThan(2600);
  }
});

it("multi-hop: the room is that of the person's box", () => {
  for (const { prompt, answer } of of("multi-hop")) {
    const person = /The box with the letter of (\w+) is in the$/.exec(prompt)![1];
    const colour = new RegExp(`${person} keeps a letter in the (\\w+) box`).exec(prompt)![1];
    const room = new RegExp(`The ${colour} box stands in the (\\w+)\\.`).exec(prompt)![1];
    expect(answer).toBe(` ${room}`);
  }
});

it("copies: prompt and answer together end as the text has them", () => {
  for (const { prompt, answer } of of("copy-code")) {
    const name = /Repeat the function (\w+) exactly/.exec(prompt)![1]!;
    const [, code] = new RegExp(`(def ${name}\\(count\\):\\n.+\\n    return total - \\d)`).exec(prompt)!;
    expect(`${prompt}${answer}`.endsWith(code!)).toBe(true);
    expect(answer.length).toBeGreaterThan(30);
  }
  for (const { prompt, answer } of of("copy-table")) {
    const name = /Repeat the row of the table for (\w+)\./.exec(prompt)![1];
    const [row] = new RegExp(`\\| ${name} \\| \\d+ \\| \\d+ \\|`).exec(prompt)!;
    expect(`${prompt}${answer}`.endsWith(row)).toBe(true);
    expect(answer).toMatch(/^ \d\d \| \d{3} \|$/);
  }
});

it("counting counts, and the last of several is the last", () => {
  const counts = of("counting").map(({ prompt, answer }) => {
    expect(answer).toBe(` ${prompt.split("The bell of the lighthouse rang.").length - 1}`);
    return answer;
  });
  expect(new Set(counts).size).toBeGreaterThan(1);
  for (const { prompt, answer } of of("last-of-several")) {
    const [, person, thing] = /(\w+) put the (\w+) last in the$/.exec(prompt)!;
    const places = [...prompt.matchAll(new RegExp(`${person} put the ${thing} in the (\\w+)\\.`, "g"))].map(
      (m) => m[1],
    );
    expect(places).toHaveLength(4);
    expect(answer).toBe(` ${places.at(-1)}`);
  }
});

it("cells count exact answers of a task and length", () => {
  const [yes, no] = [
    [true, true, true, false, true],
    [false, true, true, false, false],
  ];
  const cells = taskCells([{ length: 1 }, { length: 1 }, { length: 2 }], [yes, no, no], [yes, yes, yes]);
  expect(cells.map(({ task, length, prompts, right, rightBase }) => [task, length, prompts, right, rightBase])).toEqual(
    [
      ["multi-hop", 1, 2, 0.5, 1],
      ["copy-code", 1, 2, 1, 1],
      ["copy-table", 1, 2, 1, 1],
      ["counting", 1, 2, 0, 0],
      ["last-of-several", 1, 2, 0.5, 1],
      ["multi-hop", 2, 1, 0, 1],
      ["copy-code", 2, 1, 1, 1],
      ["copy-table", 2, 1, 1, 1],
      ["counting", 2, 1, 0, 0],
      ["last-of-several", 2, 1, 0, 1],
    ],
  );
  expect(() => checkTasks({ lengths: [100], prompts: 1 }, 4096)).toThrow(/length 100: expected 800 to 4096/);
  expect(() => checkTasks({ lengths: [8192], prompts: 1 }, 4096)).toThrow(/the model's context/);
});
