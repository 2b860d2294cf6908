/** @file What is meant by options of other programs that we have under another name, or do not have because nothing needs them. */
import type { Command } from "commander";
import { closest } from "../closest.ts";
import { ALIASES } from "./argv-aliases.ts";

/** Names of llama.cpp, Ollama, vLLM and Transformers, without dashes, and ours, of which the first that a command has is named. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  context: ["--ctx"],
  "context-size": ["--ctx", "--context"],
  length: ["--max-new-tokens"],
  limit: ["--max-new-tokens"],
  input: ["--file", "--text"],
  "prompt-file": ["--file"],
  instruction: ["--system"],
  "random-seed": ["--seed"],
  "kv-type": ["--kv"],
  quant: ["--weights"],
  quantization: ["--weights"],
  dtype: ["--weights"],
  device: ["--backend"],
  output: ["--out"],
  o: ["--out"],
  p: ["--prompt", "--prompt-tokens", "--port"],
  samples: ["--chunks", "--repeats"],
  silent: ["--quiet"],
  verbose: ["--explain"],
  v: ["--explain"],
  bind: ["--host"],
  "served-model-name": ["--alias"],
  "max-num-seqs": ["--parallel"],
  "spec-type": ["--spec"],
  "speculative-config": ["--spec"],
  "gpu-memory-utilization": ["--memory"],
};

const GPU = "the GPU computes all layers or none: --backend webgpu or --backend wasm";
const MAPPED = "weights are read once, at load, and nothing has to be said for it; leave it out";
const MODELS = "each model is named, -m NAME=PATH, and as many are loaded as --memory holds";
/** Options that have no counterpart, and why. */
const REASONS: Readonly<Record<string, string>> = {
  "gpu-layers": GPU,
  "n-gpu-layers": GPU,
  "flash-attn": "attention always reads the cache in one pass; leave it out",
  "models-dir": MODELS,
  "models-max": MODELS,
  "models-preset": MODELS,
  mlock: MAPPED,
  mmap: MAPPED,
  "no-mmap": MAPPED,
  i: "a conversation is: turboquant chat",
  conversation: "a conversation is: turboquant chat",
  interactive: "a conversation is: turboquant chat",
  b: "the backend chooses how many tokens of a prompt it reads at once; leave it out",
  "batch-size": "the backend chooses how many tokens of a prompt it reads at once; leave it out",
  "ubatch-size": "the backend chooses how many tokens of a prompt it reads at once; leave it out",
  "yarn-ext-factor": "YaRN is always the whole of it (1); leave it out",
};

/** A line to add to an error about an unknown option or a command that there is not; nothing where the error has one, or is another. */
export function meantBy(error: string, command: Command): string {
  if (error.startsWith("error: too many arguments")) return commandMeant(command);
  const name = /^error: unknown option '--?([^'=]+)/.exec(error)?.[1];
  if (name === undefined) return "";
  const answers = answersOf(command);
  const answer = answers.get(name);
  if (error.includes("Did you mean")) return answer !== undefined && Object.hasOwn(REASONS, name) ? answer : "";
  const names = [...answers.keys()].filter(({ length }) => length >= MIN_LENGTH);
  return answer ?? answers.get(closest(name, names) ?? "") ?? "";
}

/** What is not one of the commands below a command that does something itself is taken for an argument of it. */
function commandMeant({ args: [typed = ""], commands }: Command): string {
  if (commands.length === 0) return "";
  const names = commands.map((command) => command.name());
  const meant = closest(typed, names);
  return meant === undefined ? `(There are ${names.join(", ")}.)\n` : `(Did you mean ${meant}?)\n`;
}

/** Of shorter names every other short one would be a slip. */
const MIN_LENGTH = 4;

/** What is said of each name that is none of a command's own options, without dashes. */
function answersOf({ options }: Command): ReadonlyMap<string, string> {
  const known = (option: string): boolean => options.some(({ long, hidden }) => long === option && !hidden);
  const answers = new Map(Object.entries(REASONS).map(([name, reason]) => [name, `(${reason})\n`]));
  const aliases = Object.entries(ALIASES).map(([name, ours]) => [name.replace(/^-+/, ""), [ours]] as const);
  for (const [name, choices] of [...aliases, ...Object.entries(NAMES)]) {
    const ours = choices.find(known);
    if (ours !== undefined) answers.set(name, `(Did you mean ${ours}?)\n`);
  }
  return answers;
}
