/**
 * @file Generates beyond the context: where it is full, the older half of what is not kept is forgotten, and the rest is read anew. (llama.cpp
 * shifts the positions in its cache instead; codes of keys cannot be turned.)
 */
import type { GenerateOptions, GenerationChunk, Timings, Usage } from "../engine/generation.ts";
import type { Session } from "../engine/session.ts";

export interface ShiftOptions {
  readonly contextLength: number;
  /** Tokens at the beginning that are never forgotten. */
  readonly keep: number;
  readonly maxNewTokens: number;
  /** Called with the number of tokens that are forgotten, before the others are read again. */
  readonly onShift?: (forgotten: number) => void;
}

/** As `session.generate`; the last chunk's usage and timings are those of all parts together. */
export async function* generateShifting(
  session: Session,
  prompt: ArrayLike<number>,
  options: GenerateOptions,
  { contextLength, keep, maxNewTokens, onShift }: ShiftOptions,
): AsyncGenerator<GenerationChunk, void> {
  let ids = prompt;
  const parts: Pick<Required<GenerationChunk>, "usage" | "timings">[] = [];
  const drawnBefore: number[] = [];
  for (;;) {
    const generated = parts.reduce((sum, { usage }) => sum + usage.completionTokens, 0);
    let isFull = false;
    const own = { ...options, maxNewTokens: maxNewTokens - generated, drawnBefore: drawnBefore.slice() };
    for await (const chunk of session.generate(ids, own)) {
      if (chunk.token !== undefined) drawnBefore.push(chunk.token);
      const { finishReason, usage, timings, ...piece } = chunk;
      if (!finishReason || !usage || !timings) {
        yield chunk;
        continue;
      }
      parts.push({ usage, timings });
      const isLeft = generated + usage.completionTokens < maxNewTokens;
      isFull = finishReason === "length" && isLeft && session.tokens.length > contextLength;
      yield isFull ? piece : { ...piece, finishReason, ...together(parts) };
    }
    if (!isFull) return;
    const tokens = session.tokens.slice();
    const kept = Math.min(keep, tokens.length - 2);
    const forgotten = Math.max(1, Math.floor((tokens.length - kept) / 2));
    onShift?.(forgotten);
    const rest = [...tokens.slice(0, kept), ...tokens.slice(kept + forgotten)];
    ids = rest.slice(session.rewindTo(rest));
  }
}

function together(parts: readonly { readonly usage: Usage; readonly timings: Timings }[]): {
  usage: Usage;
  timings: Timings;
} {
  const [first] = parts as [(typeof parts)[number]];
  if (parts.length === 1) return first;
  const sum = (name: keyof Usage): number => parts.reduce((total, { usage }) => total + (usage[name] ?? 0), 0);
  const completionTokens = sum("completionTokens");
  const decodeMs = parts.reduce((sum, { timings }) => sum + timings.decodeMs, 0);
  return {
    usage: {
      ...first.usage,
      completionTokens,
      ...(first.usage.draftedTokens !== undefined && {
        draftedTokens: sum("draftedTokens"),
        acceptedTokens: sum("acceptedTokens"),
      }),
    },
    timings: {
      ...first.timings,
      decodeMs,
      decodeTokPerSec: decodeMs > 0 ? (1000 * (completionTokens - parts.length)) / decodeMs : 0,
    },
  };
}
