/** @file Cuts a text into the chunks of an evaluation. */
import { TurboQuantError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/**
 * The first `chunks` pieces of `ctx` tokens of a text; fewer when the text ends before.
 * A tokenizer that begins texts with a special token (Llama) begins every chunk with it, in place of the chunk's first
 * token, as llama.cpp's perplexity tool does.
 * @throws TurboQuantError invalid_argument — not even one chunk
 */
export function textChunks(tokenizer: Tokenizer, text: string, ctx: number, chunks: number): Int32Array[] {
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  const [bos] = tokenizer.encode("", { addSpecialTokens: true });
  const count = Math.min(chunks, Math.floor(ids.length / ctx));
  if (count < 1) {
    throw new TurboQuantError(
      "invalid_argument",
      `eval: the text has ${ids.length} tokens, fewer than one chunk of ${ctx}; pass a longer --text or a smaller --ctx`,
      { tokens: ids.length, ctx },
    );
  }
  return Array.from({ length: count }, (_, i) => {
    const chunk = Int32Array.from(ids.slice(i * ctx, (i + 1) * ctx));
    if (bos !== undefined) chunk[0] = bos;
    return chunk;
  });
}
