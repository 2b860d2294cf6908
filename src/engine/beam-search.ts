/** @file Beam search over forked sequences. Beams share all pages up to the place where they differ. */
import { reorderBeams } from "../cache/reorder-beams.ts";
import type { Sequence } from "../cache/sequence.ts";
import { TurboQuantError } from "../errors.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import type { LLM } from "./llm.ts";
import { checkFinite } from "./logits.ts";
import { type LoopRow, StepLoop } from "./step-loop/step-loop.ts";
import { yieldNow } from "./yield-now.ts";

export interface BeamSearchOptions {
  readonly numBeams: number;
  readonly maxNewTokens: number;
  /** A score is divided by length^lengthPenalty; default 1, as in Transformers. */
  readonly lengthPenalty?: number;
  /** Number of hypotheses to return, at most `numBeams`; default 1. */
  readonly numReturn?: number;
  readonly signal?: AbortSignal;
}

const BEAM_OPTIONS: Readonly<Record<keyof BeamSearchOptions, true> & Record<string, true | string>> = {
  numBeams: true,
  maxNewTokens: true,
  lengthPenalty: true,
  numReturn: true,
  signal: true,
  numReturnSequences: "numReturn",
  maxTokens: "maxNewTokens",
  beamWidth: "numBeams",
};

export interface BeamHypothesis {
  readonly text: string;
  readonly tokens: readonly number[];
  /** Sum of log-probabilities / length^lengthPenalty. */
  readonly score: number;
}

/** A row of the step loop whose next token is chosen here, from the logits of all beams. */
interface Beam extends LoopRow {
  /** The prompt and the tokens of this beam. */
  readonly tokens: number[];
  readonly sequence: Sequence;
  readonly continuation: null;
  readonly logprob: number;
}

interface Candidate {
  readonly parent: number;
  readonly token: number;
  readonly logprob: number;
}

/**
 * Keeps the `numBeams` most likely continuations in every step. Ends when no live beam can get a better score than the finished
 * ones, or at the end of the context.
 * returns: hypotheses, best first
 * @throws TurboQuantError invalid_argument — an option out of range, an empty prompt, or one that does not fit the context;
 * invalid_file — logits that are not finite; the reason of `signal` when it is aborted
 */
export async function beamSearch(
  llm: LLM,
  prompt: string | ArrayLike<number>,
  options: BeamSearchOptions,
): Promise<BeamHypothesis[]> {
  refuseUnknownOptions("beam search", options, BEAM_OPTIONS);
  const { numBeams, maxNewTokens, lengthPenalty = 1, numReturn = 1, signal } = options;
  if (!Number.isInteger(numBeams) || !(numReturn >= 1) || numReturn > numBeams || !(maxNewTokens >= 1)) {
    throw new TurboQuantError(
      "invalid_argument",
      `beam search: expected numBeams ≥ numReturn ≥ 1 and maxNewTokens ≥ 1, got ${numBeams}, ${numReturn}, ${maxNewTokens}`,
    );
  }
  const ids = Array.from(typeof prompt === "string" ? llm.tokenizer.encode(prompt) : prompt);
  if (ids.length === 0) {
    throw new TurboQuantError("invalid_argument", "beam search: the prompt is empty; pass at least one token");
  }
  const promptLength = ids.length;
  // The last token is not fed to the model, so it needs no place in the context.
  const most = Math.min(maxNewTokens, llm.runner.contextLength + 1 - promptLength);
  const score = (logprob: number, length: number): number => logprob / length ** lengthPenalty;
  const finished: BeamHypothesis[] = [];
  const finish = (tokens: readonly number[], logprob: number): void => {
    finished.push({ text: llm.tokenizer.decode(tokens), tokens, score: score(logprob, tokens.length) });
  };
  const loop = new StepLoop<Beam>(llm.runner);
  let beams: Beam[] = [{ tokens: ids, sequence: llm.cache.createSequence(), continuation: null, logprob: 0 }];
  try {
    let logits: readonly Float32Array[] = [await loop.prefill(beams[0]!, { signal })];
    for (let length = 1; ; length++) {
      const next: Candidate[] = [];
      // Twice as many candidates as beams, so that enough live beams remain when some of them end.
      for (const candidate of topCandidates(logits, beams, numBeams * 2)) {
        const { parent, token, logprob } = candidate;
        if (llm.eosTokens.has(token)) finish([...beams[parent]!.tokens.slice(promptLength), token], logprob);
        else if (next.length < numBeams) next.push(candidate);
      }
      beams = continueBeams(beams, next);
      finished.sort((a, b) => b.score - a.score);
      const worst = finished[numBeams - 1]?.score ?? Number.NEGATIVE_INFINITY;
      if (beams.length === 0 || score(beams[0]!.logprob, length) < worst) break;
      if (length + 1 > most) break;
      await yieldNow();
      signal?.throwIfAborted();
      const outcomes = await loop.step(beams.map((row) => ({ row, count: 1, logits: "last" })));
      logits = outcomes.map((outcome) => outcome.logits);
    }
    for (const { tokens, logprob } of beams) finish(tokens.slice(promptLength), logprob);
    return finished.sort((a, b) => b.score - a.score).slice(0, numReturn);
  } finally {
    for (const { sequence } of beams) sequence.release();
    loop.close();
  }
}

/** Makes the beams that continue with these candidates: the first child of a parent takes over its sequence, the others get forks. */
function continueBeams(beams: readonly Beam[], candidates: readonly Candidate[]): Beam[] {
  const sequences = reorderBeams(
    beams.map(({ sequence }) => sequence),
    candidates.map(({ parent }) => parent),
  );
  const next = candidates.map(({ parent, logprob }, i): Beam => {
    const { tokens, sequence } = beams[parent]!;
    const isFork = sequences[i] !== sequence;
    return { tokens: isFork ? [...tokens] : tokens, sequence: sequences[i]!, continuation: null, logprob };
  });
  // Tokens are appended only after all forks of a parent have copied its tokens.
  for (const [i, { token }] of candidates.entries()) next[i]!.tokens.push(token);
  return next;
}

/**
 * The `count` best (beam, token) pairs by total log-probability, best
 * first. Of equal ones the lower beam, then the lower token comes first.
 * logits: [vocabSize] of each beam
 */
function topCandidates(logits: readonly Float32Array[], beams: readonly Beam[], count: number): Candidate[] {
  const best: Candidate[] = [];
  for (const [parent, beam] of beams.entries()) {
    const row = logits[parent]!;
    checkFinite(row);
    let max = Number.NEGATIVE_INFINITY;
    for (const value of row) if (value > max) max = value;
    let sum = 0;
    for (const value of row) sum += Math.exp(value - max);
    const offset = beam.logprob - max - Math.log(sum);
    for (let token = 0; token < row.length; token++) {
      const logprob = row[token]! + offset;
      if (best.length === count && logprob <= best[count - 1]!.logprob) continue;
      let at = best.length;
      while (at > 0 && best[at - 1]!.logprob < logprob) at--;
      best.splice(at, 0, { parent, token, logprob });
      if (best.length > count) best.pop();
    }
  }
  return best;
}
