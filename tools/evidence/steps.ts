/** @file What the evidence on a model consists of: one step for each format and measurement, in the order in which they are run. */
import { createHash } from "node:crypto";
import type { EvalOptions } from "../../src/eval/evaluate.ts";

export interface EvidencePlan {
  readonly kv: readonly string[];
  /** Tokens of chunks, of task prompts and of needle prompts. */
  readonly lengths: readonly number[];
  /** Tokens that are read at each length, in whole chunks. */
  readonly tokens: number;
  /** Prompts with tasks, and needle prompts, at each length; continuations. */
  readonly tasks: number;
  readonly needles: number;
  readonly greedy: number;
}

export type Measurement = "divergence" | "tasks" | "needles" | "greedy";

export interface Step {
  readonly measurement: Measurement;
  readonly kv: string;
  /** 0 for continuations, whose prompts have a length of their own. */
  readonly length: number;
  readonly options: Pick<EvalOptions, "ctx" | "chunks" | "tasks" | "needleGrid" | "greedy">;
  /** About how many tokens are fed, to the base and to the format. */
  readonly size: number;
}

/** Tokens of text for steps that need none. */
const LITTLE = { ctx: 64, chunks: 1 };
const DEPTHS = [0, 0.25, 0.5, 0.75, 1];
const [GREEDY_PROMPT, GREEDY_TOKENS] = [256, 64];

/** Short lengths first, and within a length all formats on one measurement, so that a run that ends early has compared something. */
export function stepsOf({ kv, lengths, tokens, tasks, needles, greedy }: EvidencePlan): Step[] {
  const steps: Step[] = [];
  const add = (measurement: Measurement, length: number, options: Step["options"], size: number): void => {
    for (const format of kv) steps.push({ measurement, kv: format, length, options, size: 2 * size });
  };
  for (const length of lengths) {
    const chunks = Math.max(1, Math.round(tokens / length));
    add("divergence", length, { ctx: length, chunks }, chunks * length);
    if (tasks > 0) {
      const grid = { lengths: [length], prompts: tasks };
      add("tasks", length, { ...LITTLE, tasks: grid }, tasks * length);
    }
    if (needles > 0) {
      const grid = { lengths: [length], depths: DEPTHS, prompts: needles };
      add("needles", length, { ...LITTLE, needleGrid: grid }, needles * length);
    }
  }
  if (greedy > 0) {
    const options = { ...LITTLE, greedy: { prompts: greedy, tokens: GREEDY_TOKENS } };
    add("greedy", 0, options, greedy * (GREEDY_PROMPT + 2 * GREEDY_TOKENS));
  }
  return steps;
}

/**
 * Which steps, by their number, one of several machines measures: every n-th, so that each has some of all lengths.
 * part: such as `2/3` · returns: null where `part` is no such thing
 */
export function readPart(part: string): ((index: number) => boolean) | null {
  const [, own = 0, all = 0] = (/^(\d+)\/(\d+)$/.exec(part) ?? []).map(Number);
  return own >= 1 && own <= all ? (index) => index % all === own - 1 : null;
}

/** Equal for steps that give equal rows. scope: of the model, the text and the program */
export const idOf = ({ kv, options }: Step, scope: string): string =>
  createHash("sha256")
    .update(JSON.stringify([scope, kv, options]))
    .digest("hex")
    .slice(0, 16);
