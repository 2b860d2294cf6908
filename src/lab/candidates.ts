/** @file Lists the runs that a search space allows: every combination that a cache can have, each once. */
import { TurboQuantError } from "../errors.ts";
import { sha256Hex } from "../formats/sha256.ts";
import { kvSpecOf, type Parameters, type ParameterValue } from "./parameters.ts";
import type { SearchSpace } from "./space-schema.ts";

/** One configuration. Together with a number of chunks it makes a run. */
export interface Candidate {
  /** Name of the part of the space that it comes from. */
  readonly part: string;
  readonly parameters: Parameters;
  readonly model: string;
  readonly ctx: number;
  /** The KV spec in canonical form. */
  readonly kv: string;
}

export interface ImpossibleCombination {
  readonly part: string;
  readonly parameters: Parameters;
  readonly reason: string;
}

export interface CandidateList {
  readonly candidates: readonly Candidate[];
  readonly impossible: readonly ImpossibleCombination[];
  /** Number of combinations left out because an earlier one gives the same cache. */
  readonly repeated: number;
}

/** Limit for a list of all combinations; a larger space is more often a mistake than intended. */
const MAX_COMBINATIONS = 50_000;
const DEFAULT_CTX = 1024;

/**
 * Lists a space in order: parts as they are written, and within a part the last parameter varies fastest.
 *
 * defaultModel: for parts that name no model
 * @throws TurboQuantError invalid_argument — too many combinations, or impossible ones that the space does not allow to skip
 */
export function listCandidates(space: SearchSpace, defaultModel: string): CandidateList {
  const total = space.parts.reduce((sum, { parameters }) => sum + sizeOf(parameters), 0);
  if (total > MAX_COMBINATIONS) {
    throw new TurboQuantError(
      "invalid_argument",
      `space ${space.name}: expected at most ${MAX_COMBINATIONS} combinations, got ${total}; name fewer values`,
      { total },
    );
  }
  const candidates: Candidate[] = [];
  const impossible: ImpossibleCombination[] = [];
  const seen = new Set<string>();
  let repeated = 0;
  for (const part of space.parts) {
    for (const parameters of combinations(part.parameters)) {
      const { model = defaultModel, ctx = DEFAULT_CTX } = parameters;
      try {
        const kv = kvSpecOf(parameters);
        const key = `${model}\n${ctx}\n${kv}`;
        if (seen.has(key)) repeated++;
        else candidates.push({ part: part.name, parameters, model: String(model), ctx: Number(ctx), kv });
        seen.add(key);
      } catch (error) {
        if (!(error instanceof TurboQuantError)) throw error;
        impossible.push({ part: part.name, parameters, reason: error.message });
      }
    }
  }
  if (impossible.length > 0 && space.impossible === "refuse") refuse(space, impossible);
  if (candidates.length === 0) {
    throw new TurboQuantError("invalid_argument", `space ${space.name}: no combination is possible`, { impossible });
  }
  return { candidates, impossible, repeated };
}

function refuse(space: SearchSpace, impossible: readonly ImpossibleCombination[]): never {
  const { part, parameters, reason } = impossible[0]!;
  const many = impossible.length > 1 ? ` (and ${impossible.length - 1} more)` : "";
  throw new TurboQuantError(
    "invalid_argument",
    `space ${space.name}, part ${part}: ${describe(parameters)} is impossible${many}: ${reason}; ` +
      'take it out, or set "impossible": "skip"',
    { impossible },
  );
}

/** For example `k=1, qjl=true`. */
export function describe(parameters: Parameters): string {
  return (
    Object.entries(parameters)
      .map(([name, value]) => `${name}=${value}`)
      .join(", ") || "the default"
  );
}

type ValueLists = Readonly<Record<string, readonly ParameterValue[] | undefined>>;

const sizeOf = (lists: ValueLists): number =>
  Object.values(lists).reduce((product, list) => product * (list?.length ?? 1), 1);

function* combinations(lists: ValueLists): Generator<Parameters> {
  const entries = Object.entries(lists).filter((entry) => entry[1] !== undefined) as [string, ParameterValue[]][];
  const total = sizeOf(lists);
  for (let n = 0; n < total; n++) {
    const chosen: [string, ParameterValue][] = [];
    let rest = n;
    for (const [name, list] of entries.toReversed()) {
      chosen.unshift([name, list[rest % list.length]!]);
      rest = Math.floor(rest / list.length);
    }
    yield Object.fromEntries(chosen);
  }
}

/** Settings that all runs of a sweep share and that their figures depend on. */
export interface RunSettings {
  readonly base: string;
  readonly needle: number;
  /** Digest of the text; null for a text that the model writes. */
  readonly textSha256: string | null;
}

/** 16 hex digits that identify a run by everything its figures depend on. */
export function runId({ model, ctx, kv }: Candidate, chunks: number, settings: RunSettings): string {
  const { base, needle, textSha256 } = settings;
  const identity = JSON.stringify([model, ctx, kv, chunks, base, needle, textSha256]);
  return sha256Hex([new TextEncoder().encode(identity)]).slice(0, 16);
}
