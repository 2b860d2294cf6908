/**
 * @file Tasks that need memory of the context, made from a seed and scored by exact match: facts in pages of prose, a question behind
 * them, and one right answer, which begins where the prompt ends.
 *
 * - `multi-hop`: a person's letter is in a box, the box in a room; which room?
 * - `copy-code`: the body of one of several functions, to the last character
 * - `copy-table`: the cells of one row of a table
 * - `counting`: how often something is said to have happened, beside something else that is said as well
 * - `last-of-several`: where a thing was put last, of several places
 *
 * A prompt holds the facts of all of them, which are in each other's way, and is asked for each; its beginning is read once.
 *
 * An answer counts when each of its tokens is the most likely one, which is what a model that answers greedily would have written. The
 * kinds are those of RULER (arXiv 2404.06654), with facts in whole sentences and answers that cannot be guessed from the question.
 */
import { TurboQuantError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { FRAME_TOKENS, fillProse, insertSentences, sharedLength } from "./haystack.ts";
import { wilson } from "./intervals.ts";
import { Draws, type NeedlePrompt, proseOf } from "./needle.ts";

export interface TaskGrid {
  /** Approximate prompt lengths in tokens. */
  readonly lengths: readonly number[];
  /** Number of prompts at each length; every one is asked for each task. */
  readonly prompts: number;
}

/** One prompt with the facts of all tasks, and a question for each. */
export interface TaskPrompt {
  /** The length asked for. */
  readonly length: number;
  /** Number of tokens that all questions begin with; fewer than any question has. */
  readonly shared: number;
  /** In the order of `TASK_NAMES`. */
  readonly questions: readonly NeedlePrompt[];
}

/** Results of one task at one length. */
export interface TaskCell {
  readonly task: TaskName;
  readonly length: number;
  readonly prompts: number;
  /** Share of exact answers, with a 95 % interval. */
  readonly right: number;
  readonly rightLow: number;
  readonly rightHigh: number;
  readonly rightBase: number;
}

/** A task before it is hidden in prose. */
interface Riddle {
  /** In the order in which they have to stand. */
  readonly facts: readonly string[];
  readonly question: string;
  /** How the answer begins, which is given. */
  readonly begin: string;
  readonly answer: string;
}

const PEOPLE = ["Alice", "Hugo", "Ruth", "Victor", "Clara", "Edgar"];
const COLOURS = ["red", "blue", "green", "white", "black", "yellow"];
const ROOMS = ["attic", "cellar", "kitchen", "library", "garden", "stable"];
const THINGS = ["lamp", "rope", "kettle", "ladder", "mirror", "barrel"];
const STREAM_SEED = 11;

/** `count` different elements in a random order. */
function drawSome<T>(draws: Draws, from: readonly T[], count: number): T[] {
  const rest = [...from];
  return Array.from({ length: count }, () => draws.take(rest));
}

const between = (draws: Draws, low: number, high: number): number => low + draws.below(high - low + 1);

const TASKS = {
  "multi-hop"(draws): Riddle {
    const people = drawSome(draws, PEOPLE, 3);
    const colours = drawSome(draws, COLOURS, 3);
    const rooms = drawSome(draws, ROOMS, 3);
    const facts = [
      ...people.map((person, i) => `${person} keeps a letter in the ${colours[i]} box.`),
      ...colours.map((colour, i) => `The ${colour} box stands in the ${rooms[i]}.`),
    ];
    return {
      facts: drawSome(draws, facts, facts.length),
      question: `In which room is the box with the letter of ${people[0]}?`,
      begin: `The box with the letter of ${people[0]} is in the`,
      answer: ` ${rooms[0]}`,
    };
  },
  "copy-code"(draws): Riddle {
    const names = drawSome(draws, THINGS, 3);
    const bodies = names.map(
      () =>
        `    total = count * ${between(draws, 11, 99)} + ${between(draws, 11, 99)}\n    return total - ${between(draws, 2, 9)}`,
    );
    const head = (name: string): string => `def price_of_${name}(count):\n`;
    return {
      facts: names.map((name, i) => `${head(name)}${bodies[i]}`),
      question: `Repeat the function price_of_${names[1]} exactly as it is written above.`,
      begin: head(names[1]!),
      answer: bodies[1]!,
    };
  },
  "copy-table"(draws): Riddle {
    const names = drawSome(draws, THINGS, 6);
    const cells = names.map(() => ` ${between(draws, 11, 99)} | ${between(draws, 101, 999)} |`);
    const rows = names.map((name, i) => `| ${name} |${cells[i]}`);
    const asked = draws.below(names.length);
    return {
      facts: [["| item | stock | price |", "| --- | --- | --- |", ...rows].join("\n")],
      question: `Repeat the row of the table for ${names[asked]}.`,
      begin: `| ${names[asked]} |`,
      answer: cells[asked]!,
    };
  },
  counting(draws): Riddle {
    const [own, other] = [between(draws, 2, 6), between(draws, 2, 6)];
    const facts = [
      ...Array.from({ length: own }, () => "The bell of the lighthouse rang."),
      ...Array.from({ length: other }, () => "The dog of the miller barked."),
    ];
    return {
      facts: drawSome(draws, facts, facts.length),
      question: "How many times is it said that the bell of the lighthouse rang? Answer with a number.",
      begin: "Number of times that the bell of the lighthouse rang:",
      answer: ` ${own}`,
    };
  },
  "last-of-several"(draws): Riddle {
    const [person] = drawSome(draws, PEOPLE, 1);
    const [thing, other] = drawSome(draws, THINGS, 2);
    const rooms = drawSome(draws, ROOMS, 4);
    const others = drawSome(draws, ROOMS, 3);
    const facts = rooms.map((room) => `${person} put the ${thing} in the ${room}.`);
    // Another thing in between, so that the last sentence of this kind does not give the answer away.
    const mixed = facts.flatMap((fact, i) => [
      fact,
      ...(others[i] ? [`${person} put the ${other} in the ${others[i]}.`] : []),
    ]);
    return {
      facts: [...mixed, `${person} put the ${other} in the ${rooms[0]}.`],
      question: `Where did ${person} put the ${thing} last?`,
      begin: `${person} put the ${thing} last in the`,
      answer: ` ${rooms.at(-1)}`,
    };
  },
} satisfies Record<string, (draws: Draws) => Riddle>;

export type TaskName = keyof typeof TASKS;

export const TASK_NAMES = Object.keys(TASKS) as TaskName[];

/** Facts of all tasks, question and template, with some prose to hide them in. */
const MIN_LENGTH = 800;

/** @throws TurboQuantError invalid_argument — lengths that no prompt can have */
export function checkTasks({ lengths }: TaskGrid, contextLength: number): void {
  const bad = lengths.find((length) => length < MIN_LENGTH || length > contextLength);
  if (bad === undefined) return;
  throw new TurboQuantError(
    "invalid_argument",
    `tasks: length ${bad}: expected ${MIN_LENGTH} to ${contextLength} tokens, the model's context`,
    { length: bad, contextLength },
  );
}

/** The prompts, length by length; the same seed gives the same prompts. */
export async function taskPrompts(
  tokenizer: Tokenizer,
  text: string,
  { lengths, prompts }: TaskGrid,
  seed = STREAM_SEED,
): Promise<TaskPrompt[]> {
  const paragraphs = proseOf(text);
  const draws = new Draws(seed);
  const result: TaskPrompt[] = [];
  for (const length of lengths) {
    for (let i = 0; i < prompts; i++) {
      const riddles = TASK_NAMES.map((task) => TASKS[task](draws));
      const facts = riddles.flatMap((riddle) => riddle.facts);
      // The facts of a task keep their order.
      const depths = riddles.flatMap((riddle) =>
        riddle.facts.map(() => draws.below(1000) / 1000).sort((a, b) => a - b),
      );
      const body = insertSentences(
        fillProse(tokenizer, paragraphs, draws, length - FRAME_TOKENS, facts),
        facts,
        depths,
      );
      const questions = await Promise.all(riddles.map((riddle) => promptOf(tokenizer, body, riddle)));
      result.push({ length, shared: sharedLength(questions), questions });
    }
  }
  return result;
}

/** Prompt and answer as one text, cut at the last place where both its tokens and those of the prompt alone agree. */
async function promptOf(
  tokenizer: Tokenizer,
  body: readonly string[],
  { question, begin, answer }: Riddle,
): Promise<NeedlePrompt> {
  const content = `${body.join("\n")}\n${question}`;
  const rendered = tokenizer.chatTemplate
    ? await tokenizer.applyChatTemplate([{ role: "user", content }], { addGenerationPrompt: true })
    : `${content}\n`;
  const options = { addSpecialTokens: !tokenizer.chatTemplate };
  const alone = tokenizer.encode(`${rendered}${begin}`, options);
  const all = tokenizer.encode(`${rendered}${begin}${answer}`, options);
  let shared = 0;
  while (shared < Math.min(alone.length, all.length - 1) && alone[shared] === all[shared]) shared++;
  return { prompt: all.slice(0, shared), answer: all.slice(shared) };
}

/** hits, baseHits: [prompt][task], whether each question was answered exactly */
export function taskCells(
  prompts: readonly Pick<TaskPrompt, "length">[],
  hits: readonly (readonly boolean[])[],
  baseHits: readonly (readonly boolean[])[],
): TaskCell[] {
  const lengths = [...new Set(prompts.map(({ length }) => length))];
  return lengths.flatMap((length) =>
    TASK_NAMES.map((task, t) => {
      const own = prompts.flatMap((prompt, i) => (prompt.length === length ? [i] : []));
      const right = own.filter((i) => hits[i]![t]).length;
      const { low, high } = wilson(right, own.length);
      return {
        task,
        length,
        prompts: own.length,
        right: right / own.length,
        rightLow: low,
        rightHigh: high,
        rightBase: own.filter((i) => baseHits[i]![t]).length / own.length,
      };
    }),
  );
}
