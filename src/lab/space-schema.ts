/** @file The schema of a search space file; errors name the path of each mistake. */
import { z } from "zod";
import { TurboQuantError } from "../errors.ts";
import { typeNames } from "../quant/kv-presets.ts";
import { parseJsonc } from "./jsonc.ts";
import type { ParameterValue } from "./parameters.ts";

/** A width from 1 to 8 bits, or the name of another type. */
const width = z.union([z.int().min(1).max(8), z.lazy(() => z.enum(typeNames()))]);
const count = (max: number) => z.int().min(0).max(max);

const range = z
  .strictObject({ from: z.int(), to: z.int(), step: z.int().min(1).default(1) })
  .refine(({ from, to }) => to >= from, { error: "expected to ≥ from" });

/** A list, a single value, or integers in even steps. */
function values<T extends z.ZodType<ParameterValue>>(value: T) {
  const steps = range.transform(({ from, to, step }, context) =>
    Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i): z.output<T> => {
      const result = value.safeParse(from + i * step);
      if (result.success) return result.data;
      context.addIssue({
        code: "custom",
        message: `${from + i * step}: ${problemOf(result.error.issues[0]!).message}`,
      });
      return z.NEVER;
    }),
  );
  return z.union([
    z.array(value).min(1, { error: "expected at least one value" }),
    value.transform((one) => [one]),
    steps,
  ]);
}

/** One entry for each parameter, as described in docs/lab.md. */
const parameters = z
  .strictObject({
    model: values(z.string().min(1)),
    ctx: values(z.int().min(2)),
    kv: values(z.string().min(1)),
    recipe: values(z.enum(["ours", "paper"])),
    bits: values(width),
    k: values(width),
    v: values(width),
    rotation: values(z.enum(["hadamard", "qr", "none"])),
    scale: values(z.enum(["auto", "norm", "norm-preserving", "least-squares"])),
    search: values(z.boolean()),
    transform: values(z.boolean()),
    feedback: values(z.boolean()),
    trellis: values(z.boolean()),
    qjl: values(z.union([z.boolean(), z.int().min(8).max(512).multipleOf(8)])),
    codebook: values(z.union([z.literal("converged"), z.int().min(1).max(100_000)])),
    sinks: values(count(65_536)),
    window: values(count(65_536)),
    calibration: values(z.string().min(1)),
    seed: values(count(2 ** 32 - 1)),
  })
  .partial();

const OBJECTIVES = ["rate", "kldMean", "kldP99", "kldP999", "pplRatio", "bitsPerValue"] as const;

const strategy = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("grid") }),
  z.strictObject({ kind: z.literal("random") }),
  z.strictObject({
    kind: z.literal("tpe"),
    /** Number of random runs before a model is fitted. */
    startup: z.int().min(2).default(12),
    /** Number of runs proposed together. More keep more workers busy, fewer learn faster. */
    batch: z.int().min(1).default(4),
  }),
  z.strictObject({
    kind: z.literal("halving"),
    /** One run in `eta` goes on, with `eta` times the chunks. */
    eta: z.int().min(2).max(8).default(3),
    /** Chunks of the first round. */
    firstChunks: z.int().min(1).default(1),
  }),
]);

const STRATEGY_NAMES = ["grid", "random", "tpe", "halving"] as const;

const space = z.strictObject({
  name: z.string().regex(/^[\w.-]+$/, { error: "expected letters, digits, dots and dashes" }),
  description: z.string().default(""),
  /** A text file, relative to the working directory; null: the model writes the text itself. */
  text: z.string().min(1).nullable().default(null),
  chunks: z.int().min(1).max(10_000).default(2),
  base: z.enum(["f16", "f32"]).default("f16"),
  needle: count(10_000).default(0),
  strategy: z.union([z.enum(STRATEGY_NAMES).transform((kind) => strategy.parse({ kind })), strategy]).prefault("grid"),
  objective: z
    .strictObject({
      minimize: z.enum(OBJECTIVES).default("rate"),
      /** Any run beyond a limit is worse than all runs within the limits. */
      maxBits: z.number().positive().optional(),
      /** Limit of the mean KLD in nats; at 0.03 a cache stops being usable. null: no limit. */
      maxKld: z.number().positive().nullable().default(0.03),
      maxPplRatio: z.number().positive().optional(),
    })
    .prefault({}),
  budget: z.strictObject({ runs: z.int().min(1).optional(), minutes: z.number().positive().optional() }).prefault({}),
  /** What to do with combinations that no cache can have. */
  impossible: z.enum(["refuse", "skip"]).default("refuse"),
  seed: count(2 ** 32 - 1).default(0),
  /** Parts are run one after the other. A run that occurs in several parts is done once. */
  parts: z
    .array(z.strictObject({ name: z.string().min(1), parameters }))
    .min(1, { error: "expected at least one part" }),
});

export type SearchSpace = z.infer<typeof space>;
export type Objective = SearchSpace["objective"];

/** For example `parts[1].parameters.k[0]`. */
function pathText(path: readonly PropertyKey[]): string {
  return path.map((key, i) => (typeof key === "number" ? `[${key}]` : `${i > 0 ? "." : ""}${String(key)}`)).join("");
}

type Issue = z.core.$ZodIssue;

interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** Whether the value had the intended type, so that something else is wrong with it. */
  readonly isRightKind: boolean;
}

/** The problem in that branch of a union which the author meant: the branch that got farthest, or else one of the right type. */
function problemOf(issue: Issue, path: readonly PropertyKey[] = []): Problem {
  const own = [...path, ...issue.path];
  const isRightKind = !["invalid_type", "invalid_value", "invalid_union"].includes(issue.code);
  const message = issue.message.replace(/^Invalid input: /, "");
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return { path: own, message, isRightKind };
  const branches = issue.errors.flatMap(([first]) => (first ? [problemOf(first, own)] : []));
  const farthest = Math.max(...branches.map((problem) => problem.path.length));
  const far = branches.filter((problem) => problem.path.length === farthest);
  const right = far.filter((problem) => problem.isRightKind);
  const meant = right.length > 0 ? right : far;
  const messages = [...new Set(meant.map((problem) => problem.message))];
  return { path: meant[0]!.path, message: messages.join(", or "), isRightKind: right.length > 0 };
}

/**
 * Checks a search space. A space with `parameters` instead of `parts` has one part.
 *
 * value: content of the file · name: of the file
 * @throws TurboQuantError invalid_file — names the path of every mistake
 */
export function checkSpace(value: unknown, name: string): SearchSpace {
  const result = space.safeParse(withParts(value));
  if (result.success) return result.data;
  const isShort = typeof value === "object" && value !== null && "parameters" in value;
  const lines = result.error.issues.map((issue) => {
    const { path, message } = problemOf(issue);
    const where = pathText(path).replace(isShort ? "parts[0].parameters" : "", isShort ? "parameters" : "");
    return `${where || "(top)"}: ${message}`;
  });
  const shown = lines.slice(0, 5).join("; ") + (lines.length > 5 ? `; and ${lines.length - 5} more` : "");
  throw new TurboQuantError("invalid_file", `${name}: ${shown}; docs/lab.md describes the file`, { file: name, lines });
}

function withParts(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("parameters" in value) || "parts" in value) return value;
  const { parameters: only, ...rest } = value as Record<string, unknown>;
  return { ...rest, parts: [{ name: "all", parameters: only }] };
}

/** Parses and checks the text of a search space file. */
export function parseSpace(text: string, name: string): SearchSpace {
  return checkSpace(parseJsonc(text, name), name);
}
