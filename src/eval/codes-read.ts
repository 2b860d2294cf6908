/**
 * @file How much of what attention reads in a text is codes, and not sinks, window or plain numbers: what a text says about a format's
 * codes. A text that fits the window says nothing about them, however good its figures are.
 */
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import { formatCount } from "../format-number.ts";
import type { ModelConfig } from "../models/config.ts";
import { layerKindsOf, layoutOf } from "../models/layout.ts";
import { isFloat } from "../quant/codecs/registry.ts";
import { type KvSpec, parseKvSpec } from "../quant/parse-kv-spec.ts";
import { emptyCache } from "./allocated-bytes.ts";

/** The least share, of that in the context a statement is about, from which on a text may speak for a format. */
const ENOUGH = 0.5;

/**
 * Of all pairs of a query and a key that it reads in a text of `tokens` tokens from an empty cache, the share whose key is read as codes;
 * the mean over layers that have codes. null for a format without codes, and where no
 * row of codes is there.
 *
 * context: of tiers, codes that count are those of the coarsest one that a context of so many tokens has; default: tokens
 */
export function codesRead(config: ModelConfig, kv: KvSpec, tokens: number, context = tokens): number | null {
  // Most layers of a model reach equally far. Those of a spec that have tiers have the same ones, but some may have none.
  const known = new Map<string, number>();
  const shares = emptyCache(config, kv).layers.flatMap(({ main, residual, format, reach, tokensPerRow }) => {
    // Where several tokens have one row together, sinks, window and tiers count rows.
    const rows = Math.floor(tokens / tokensPerRow);
    if ((isFloat(main.k.side) && isFloat(main.v.side)) || rows === 0) return [];
    const sizes = residual ? `${format.sinks}+${format.window}` : "";
    const key = `${reach.slidingWindow}/${sizes}/${format.tiers !== undefined}/${tokensPerRow}`;
    let share = known.get(key);
    if (share === undefined) {
      const reached = (format.tiers ?? []).filter(({ after }) => after < context / tokensPerRow);
      const coarsest = Math.max(0, ...reached.map(({ after }) => after));
      let [all, codes] = [0, 0];
      for (let query = 0; query < rows; query++) {
        const first = reach.firstKey(query);
        all += query - first + 1;
        const oldest = Math.max(residual ? format.window : 0, coarsest);
        const [from, to] = [residual ? Math.max(first, format.sinks) : first, query - oldest];
        codes += Math.max(0, to - from + 1);
      }
      share = codes / all;
      known.set(key, share);
    }
    return share;
  });
  return shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Whether a spec says what tokens of each age are stored as; it has no window of its own to make smaller. */
export const hasTiers = ({ text, forLayer }: KvSpec): boolean =>
  text.startsWith("tiers=") || forLayer(0).tiers !== undefined;

export interface EvidenceLengths {
  /** Tokens of the sequences that the evidence is from. */
  readonly ctx: number;
  /** The context that it is to speak for; the model's where nothing was said. */
  readonly context: number;
}

/**
 * Refuses evidence from sequences so short that hardly any code of one of the formats is read.
 *
 * what: the command, for the message
 * @throws TurboQuantError invalid_argument — with the shortest ctx that would do
 */
export function requireCodesRead(
  { config }: Pick<LLM, "config">,
  what: string,
  specs: readonly string[],
  { ctx, context }: EvidenceLengths,
): void {
  for (const spec of specs.map(parseKvSpec)) {
    const most = Math.max(ctx, context);
    const share = codesRead(config, spec, ctx, most);
    if (share === null) continue;
    const wanted = ENOUGH * codesRead(config, spec, most)!;
    if (share >= wanted && share > 0) continue;
    const { sinks, window } = spec.forModel(layerKindsOf(layoutOf(config))).forLayer(0);
    const tiers = hasTiers(spec);
    const enough = shortest(config, spec, wanted, most);
    const remedy =
      enough === null
        ? `take a smaller ${tiers ? "number of tokens for the finer tiers" : "window, as in window=0"}`
        : `pass --ctx ${enough} or more${tiers ? "" : ", or window=0"}`;
    throw new TurboQuantError(
      "invalid_argument",
      `${what}: in ${formatCount(ctx)} tokens ${share === 0 ? "none" : `only ${(100 * share).toFixed(0)} %`} of what attention reads of ${spec.text} ` +
        `are codes${tiers ? " of its coarsest tier, the rest is finer ones," : ", the rest is"} sinks and window (${sinks} and ${window} tokens), so this would be no evidence about the codes; ${remedy}`,
      { kv: spec.text, ctx, share, wanted },
    );
  }
}

/** The shortest text with such a share, in steps of 64 tokens; null where the model takes none that is so long. */
function shortest(config: ModelConfig, kv: KvSpec, wanted: number, context: number): number | null {
  const isEnough = (tokens: number): boolean => {
    const share = codesRead(config, kv, tokens, context)!;
    return share > 0 && share >= wanted;
  };
  const limit = config.maxPositionEmbeddings;
  if (!isEnough(limit)) return null;
  let [short, long] = [0, limit];
  while (long - short > 1) {
    const middle = Math.floor((short + long) / 2);
    if (isEnough(middle)) long = middle;
    else short = middle;
  }
  return Math.min(limit, Math.ceil(long / 64) * 64);
}
