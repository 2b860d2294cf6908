/** @file Options that several commands share, and parsers for their values. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { WeightType } from "../backends/ops.ts";
import { type BackendName, backendNames } from "../backends/registry.ts";
import { DEFAULT_KV, type LoadOptions } from "../engine/load-options.ts";
import { hasRecipe } from "../quant/kv-presets.ts";
import type { RateLimit } from "../server/rate-limits.ts";
import { weightTypes } from "../weights/registry.ts";
import { sharing } from "./shared-options.ts";

export const DEFAULT_MODEL = "qwen3-3m";

const BACKENDS = ["auto", ...backendNames()];
export const WEIGHTS = ["auto", ...weightTypes()];

/** Parses an integer of at least `min`. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(
        `Expected a whole number ${max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`}.`,
      );
    }
    return value;
  };
}

export function realNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("Expected a number.");
  return value;
}

/** Parses `requests=60,tokens=100000`, or one of the two. */
export function rateLimit(text: string): RateLimit {
  const limit: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [, kind, count] = /^\s*(requests|tokens)\s*=\s*(\d+)\s*$/.exec(part) ?? [];
    if (kind === undefined || kind in limit || !(Number(count) >= 1)) {
      throw new InvalidArgumentError("Expected requests=N, tokens=N or both with a comma between, each at least 1.");
    }
    limit[kind] = Number(count);
  }
  return limit;
}

/** Parses a list of integers, e.g. `0,4096,16384`. */
export function wholeNumbers(min: number) {
  const parse = wholeNumber(min);
  return (text: string): number[] => text.split(",").map((part) => parse(part.trim()));
}

/** Parses `512MB`, `24GB` (powers of 10), `2GiB` (powers of 2), or plain bytes. */
export function byteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?$/i.exec(text.trim());
  const power = match?.[2] ? "kmgt".indexOf(match[2].toLowerCase()) + 1 : 0;
  const bytes = match ? Math.floor(Number(match[1]) * (match[3] ? 1024 : 1000) ** power) : 0;
  if (!(bytes > 0)) throw new InvalidArgumentError("Expected a size such as 512MB, 24GB or 2GiB.");
  return bytes;
}

/** Bytes of a number without a unit that cannot be meant: nobody has a memory as small. */
const LEAST_PLAIN_BYTES = 1e6;

/** `byteSize` for memory and caches: a small number without a unit is one of gigabytes that was meant. */
export function memorySize(text: string): number {
  const bytes = byteSize(text);
  if (bytes < LEAST_PLAIN_BYTES && /^[\d.]+$/.test(text.trim())) {
    throw new InvalidArgumentError(`Expected a size with its unit; ${text} would be bytes, was ${text}GB meant?`);
  }
  return bytes;
}

/** Parses `90s`, `3m`, `1h`, or seconds; returns milliseconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(s|m|min|h)?$/i.exec(text.trim());
  const unit = match?.[2]?.toLowerCase() ?? "s";
  const seconds = match ? Number(match[1]) * (unit === "s" ? 1 : unit === "h" ? 3600 : 60) : 0;
  if (!(seconds > 0)) throw new InvalidArgumentError("Expected a time such as 90s, 3m or 1h.");
  return 1000 * seconds;
}

/**
 * Splits a list of specs. Commas also separate a spec from its modifiers, so a part with `=` belongs to the spec before it:
 * `f16,k4v4,sinks=0,window=0` is two specs. Tiers go on up to the one that says no number of tokens: `tiers=8:128,4,f16` is two as well.
 */
export function splitKvList(text: string): string[] {
  const specs: string[] = [];
  for (const part of text.split(",")) {
    const last = specs.at(-1) ?? "";
    const isTier = last.startsWith("tiers=") && /:(\d+|auto)$/.test(last);
    if (specs.length > 0 && (isTier || /^(?!tiers=).*=/.test(part))) specs[specs.length - 1] += `,${part}`;
    else specs.push(part);
  }
  return specs;
}

/** Collects the values of a repeatable option. */
export const collectText = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), text];
export const collectKv = (text: string, before: readonly string[] | undefined): string[] => [
  ...(before ?? []),
  ...splitKvList(text),
];

/** Values of `--weights`, comma separated. */
export function weightsList(text: string): (WeightType | "auto")[] {
  return text.split(",").map((name) => {
    if ((WEIGHTS as string[]).includes(name)) return name as WeightType;
    throw new InvalidArgumentError(`Expected ${WEIGHTS.join(", ")}, got ${name}.`);
  });
}

export interface BackendFlags {
  readonly backend: BackendName | "auto";
  readonly threads?: number;
  readonly weights: WeightType | "auto";
}

export interface OutputFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly explain?: boolean;
}

export interface ModelFlags extends BackendFlags, OutputFlags {
  readonly model: string;
  readonly kv?: string;
  readonly cacheTypeK?: string;
  readonly cacheTypeV?: string;
  readonly ctx?: number;
  readonly kvBudget?: number;
  readonly memory?: number;
}

const MODEL_REF =
  "checkpoint: a directory, a .gguf file, one of a directory by its quantization (DIR:Q4_K_M), a name on the hub (org/name:Q4_K_M), an address or an embedded model";

export const addModelOption = sharing(
  (command: Command, what: string = MODEL_REF): Command => command.option("-m, --model <ref>", what, DEFAULT_MODEL),
);

export const addBackendOptions = sharing(
  (command: Command): Command =>
    command
      .addOption(new Option("--backend <name>", "what computes").choices(BACKENDS).default("auto"))
      .addOption(
        new Option("--weights <type>", "how weights are kept; auto: as stored; q8, q4: int8, int4 in groups of 32")
          .choices(WEIGHTS)
          .default("auto"),
      ),
);

export const addThreadsOption = sharing(
  (command: Command): Command =>
    command.option("-t, --threads <n>", "threads (default: all processors)", wholeNumber(1, 1024)),
);

export interface QueueFlags {
  readonly queue?: string;
  readonly queueName?: string;
}

/** Where both sides of a sweep on many hosts meet. The URL may hold a password, which a variable keeps out of lists of processes. */
export const addQueueOptions = sharing(
  (command: Command, what: string): Command =>
    command.option("--queue <url>", what).option("--queue-name <name>", "name of the queue on that server"),
  "",
);

export function addOutputOptions(command: Command): Command {
  return command
    .option("--json", "print one JSON object and nothing else on stdout")
    .option("--quiet", "no progress and no notes on stderr")
    .option("--explain", "say on stderr which backend and which formats are used");
}

/** What formats are compared with: an exact cache. */
export const baseOption = (): Option =>
  new Option("--base <spec>", "the exact cache to compare with").choices(["f16", "f32"]).default("f16");

/** Adds `--kv`, `-ctk`, `-ctv`, `--ctx`, `--kv-budget` and `--memory`. */
export const addCacheOptions = sharing(
  (command: Command): Command =>
    command
      .option(
        "--kv <spec>",
        `KV cache format: f16, k4v4, k5v4, paper-4, … with modifiers; kNvM keep the latest tokens in 8 bits, with window=16bit in 16 (default: ${DEFAULT_KV})`,
      )
      .option("--cache-type-k <type>", "-ctk: type of K alone: f16, q8_0, q4_0r, tq1 … tq8")
      .option("--cache-type-v <type>", "-ctv: type of V alone")
      .option("-c, --ctx <tokens>", "longest sequence (default: the model's)", wholeNumber(1))
      .option("--kv-budget <size>", "limit for all KV pages, such as 512MB", memorySize)
      .option(
        "--memory <size>",
        "limit for weights, cache and work together: more is refused before loading",
        memorySize,
      ),
);

/**
 * The spec that `--kv`, `-ctk` and `-ctv` mean together. As in llama.cpp, a side that is not named is f16; differently from it,
 * a TurboQuant type adds the default sinks and window.
 */
export function kvFromFlags(flags: Pick<ModelFlags, "kv" | "cacheTypeK" | "cacheTypeV">): string {
  const { kv, cacheTypeK: k, cacheTypeV: v } = flags;
  if (k === undefined && v === undefined) return kv ?? DEFAULT_KV;
  if (kv !== undefined) return [kv, ...(k ? [`k=${k}`] : []), ...(v ? [`v=${v}`] : [])].join(",");
  const preset = [k, v].some((type) => type !== undefined && hasRecipe(type)) ? DEFAULT_KV : "f16";
  return `${preset},k=${k ?? "f16"},v=${v ?? "f16"}`;
}

/** The backend and the number of threads. */
export function backendOptionsOf(flags: BackendFlags): LoadOptions {
  return {
    backend: flags.backend,
    weights: flags.weights,
    ...(flags.threads !== undefined && { threads: flags.threads }),
  };
}

/** Environment variable that keeps commands from making calibrations that nobody asked for, when it is `off`. */
const CALIBRATION_VARIABLE = "TURBOQUANT_CALIBRATION";

/** Models that have no calibration get one when a command loads them, unless the environment says otherwise. */
export const calibrationOption = (): Pick<LoadOptions, "calibration"> =>
  process.env[CALIBRATION_VARIABLE] === "off" ? {} : { calibration: "auto" };

/** Options for `LLM.load` from the flags. */
export function loadOptionsOf(flags: Omit<ModelFlags, "model">): LoadOptions & { readonly kv: string } {
  return {
    ...backendOptionsOf(flags),
    ...calibrationOption(),
    kv: kvFromFlags(flags),
    ...(flags.ctx !== undefined && { contextLength: flags.ctx }),
    ...(flags.kvBudget !== undefined && { kvBudgetBytes: flags.kvBudget }),
    ...(flags.memory !== undefined && { memoryBytes: flags.memory }),
  };
}
