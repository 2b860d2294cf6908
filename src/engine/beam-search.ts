/** @file Beam search over forked sequences: beams share every page up to where they part. */
import { reorderBeams } from "../cache/reorder-beams.ts";
import type { Sequence } from "../cache/sequence.ts";
import { TurboQuantError } from "../errors.ts";
import type { LLM } from "./llm.ts";
import { yieldNow } from "./yield-now.ts";

export interface BeamSearchOptions {
  readonly numBeams: number;
  readonly maxNewTokens: number;
  /** Scores are divided by length^lengthPenalty; 1 by default, as in Transformers. */
  readonly lengthPenalty?: number;
  /** Hypotheses to return, at most `numBeams`; 1 by default. */
  readonly numReturn?: number;
  readonly signal?: AbortSignal;
}

export interface BeamHypothesis {
  readonly text: string;
  readonly tokens: readonly number[];
  /** Sum of log-probabilities / length^lengthPenalty. */
  readonly score: number;
}

interface Beam {
  readonly tokens: readonly number[];
  readonly logprob: number;
}

interface Candidate {
  readonly parent: number;
  readonly token: number;
  readonly logprob: number;
}

/**
 * Keeps the `numBeams` most likely continuations at every step; ends when no live beam can beat the finished ones.
 * returns: hypotheses, best first
 */
export async function beamSearch(
  llm: LLM,
  prompt: string | ArrayLike<number>,
  options: BeamSearchOptions,
): Promise<BeamHypothesis[]> {
  const { numBeams, maxNewTokens, lengthPenalty = 1, numReturn = 1, signal } = options;
  if (!Number.isInteger(numBeams) || numBeams < 1 || numReturn > numBeams || !(maxNewTokens >= 1)) {
    throw new TurboQuantError(
      "invalid_argument",
      `beam search: expected numBeams ≥ numReturn ≥ 1 and maxNewTokens ≥ 1, got ${numBeams}, ${numReturn}, ${maxNewTokens}`,
    );
  }
  const ids = typeof prompt === "string" ? llm.tokenizer.encode(prompt) : prompt;
  const score = (logprob: number, length: number): number => logprob / length ** lengthPenalty;
  const finished: BeamHypothesis[] = [];
  const finish = (beam: Beam): void => {
    finished.push({
      text: llm.tokenizer.decode(beam.tokens),
      tokens: beam.tokens,
      score: score(beam.logprob, beam.tokens.length),
    });
  };
  let sequences: Sequence[] = [llm.cache.createSequence()];
  let beams: Beam[] = [{ tokens: [], logprob: 0 }];
  try {
    let logits = await llm.runner.prefill(sequences[0]!, ids, { signal });
    for (let length = 1; length <= maxNewTokens; length++) {
      const next: Candidate[] = [];
      // Twice as many candidates as beams, so that enough stay alive when some end here.
      for (const candidate of topCandidates(logits, beams, llm.config.vocabSize, numBeams * 2)) {
        const parent = beams[candidate.parent]!;
        if (llm.eosTokens.has(candidate.token)) {
          finish({ tokens: [...parent.tokens, candidate.token], logprob: candidate.logprob });
        } else if (next.length < numBeams) next.push(candidate);
      }
      sequences = reorderBeams(
        sequences,
        next.map((c) => c.parent),
      );
      beams = next.map((c) => ({ tokens: [...beams[c.parent]!.tokens, c.token], logprob: c.logprob }));
      finished.sort((a, b) => b.score - a.score);
      const worst = finished[numBeams - 1]?.score ?? Number.NEGATIVE_INFINITY;
      if (beams.length === 0 || score(beams[0]!.logprob, length) < worst) break;
      if (length === maxNewTokens) break;
      await yieldNow();
      signal?.throwIfAborted();
      logits = await llm.runner.step(
        sequences.map((sequence, i) => ({ sequence, tokens: [beams[i]!.tokens.at(-1)!], logits: "last" as const })),
      );
    }
    for (const beam of beams) finish(beam);
    return finished.sort((a, b) => b.score - a.score).slice(0, numReturn);
  } finally {
    for (const sequence of sequences) sequence.release();
  }
}

/** The `count` best (beam, token) pairs by total log-probability, best first; ties go to the lower beam and token. */
function topCandidates(logits: Float32Array, beams: readonly Beam[], vocab: number, count: number): Candidate[] {
  const best: Candidate[] = [];
  for (const [parent, beam] of beams.entries()) {
    const row = logits.subarray(parent * vocab, (parent + 1) * vocab);
    let max = Number.NEGATIVE_INFINITY;
    for (const value of row) if (value > max) max = value;
    let sum = 0;
    for (const value of row) sum += Math.exp(value - max);
    const offset = beam.logprob - max - Math.log(sum);
    for (let token = 0; token < vocab; token++) {
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
