/** @file The list of commands. A command's module is loaded only when the command is used. */
import type { Command } from "commander";
import type { CommandContext } from "./context.ts";

export interface CommandModule {
  /** Adds options, help and the action to `command`. */
  configure(command: Command, context: CommandContext): void;
}

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

export const COMMANDS: readonly CommandEntry[] = [
  { name: "run", summary: "continue or answer one prompt", load: () => import("./commands/run.ts") },
  { name: "chat", summary: "talk with the model", load: () => import("./commands/chat.ts") },
  {
    name: "serve",
    summary: "an OpenAI-compatible server, and the web page",
    load: () => import("./commands/serve.ts"),
  },
  { name: "pull", summary: "download a model from the hub", load: () => import("./commands/pull.ts") },
  { name: "list", summary: "the models on this machine", load: () => import("./commands/list.ts") },
  {
    name: "show",
    summary: "where a model lies, its revision and licence, and what inspect says",
    load: () => import("./commands/show.ts"),
  },
  { name: "rm", summary: "remove a model from this machine", load: () => import("./commands/rm.ts") },
  {
    name: "inspect",
    summary: "show a model, its KV format byte by byte, or a saved cache",
    load: () => import("./commands/inspect.ts"),
  },
  {
    name: "eval",
    summary: "quality of KV formats: perplexity, divergence, recall",
    load: () => import("./commands/eval.ts"),
  },
  {
    name: "calibrate",
    summary: "fit the KV codes to a model, once: a small file beside it",
    load: () => import("./commands/calibrate.ts"),
  },
  {
    name: "allocate",
    summary: "bits for each layer, and for K and V, under a byte budget",
    load: () => import("./commands/allocate.ts"),
  },
  {
    name: "sweep",
    summary: "search KV formats and settings, resumable",
    load: () => import("./commands/sweep.ts"),
  },
  {
    name: "sweep-worker",
    summary: "compute runs of a sweep that another host coordinates",
    load: () => import("./commands/sweep-worker.ts"),
  },
  {
    name: "report",
    summary: "draw the rows of sweeps and evaluations as one page",
    load: () => import("./commands/report.ts"),
  },
  {
    name: "plan",
    summary: "what fits a memory: weights, cache, context, sequences",
    load: () => import("./commands/plan.ts"),
  },
  {
    name: "recommend",
    summary: "the smallest KV format that this model survives",
    load: () => import("./commands/recommend.ts"),
  },
  {
    name: "print-kernel",
    summary: "show the text of a WebGPU kernel",
    load: () => import("./commands/print-kernel.ts"),
  },
  {
    name: "tune",
    summary: "search the plans of WebGPU kernels on this machine's adapter, and keep the best",
    load: () => import("./commands/tune.ts"),
  },
  { name: "bench", summary: "speed and memory of KV formats", load: () => import("./commands/bench.ts") },
  {
    name: "completion",
    summary: "a script by which bash, zsh or fish complete commands and options",
    load: () => import("./commands/completion.ts"),
  },
];
