/** @file Cuts a text into the chunks of an evaluation. */
import { TurboQuantError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/**
 * The first `chunks` pieces of `ctx` tokens of a text, after `skip` of them; fewer when the text ends before. If the tokenizer
 * begins texts with a special token (Llama), it replaces the first token of every chunk, as in llama.cpp's perplexity tool.
 * @throws TurboQuantError invalid_argument — not even one chunk
 */
export function textChunks(tokenizer: Tokenizer, text: string, ctx: number, chunks: number, skip = 0): Int32Array[] {
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  const [bos] = tokenizer.encode("", { addSpecialTokens: true });
  const count = Math.min(chunks, Math.floor(ids.length / ctx) - skip);
  if (count < 1) {
    const wanted = skip > 0 ? `${skip + 1} chunks` : "one chunk";
    throw new TurboQuantError(
      "invalid_argument",
      `eval: the text has ${ids.length} tokens, fewer than ${wanted} of ${ctx}; pass a longer --text or a smaller --ctx`,
      { tokens: ids.length, ctx, skip },
    );
  }
  return Array.from({ length: count }, (_, i) => {
    const chunk = Int32Array.from(ids.slice((skip + i) * ctx, (skip + i + 1) * ctx));
    if (bos !== undefined) chunk[0] = bos;
    return chunk;
  });
}
