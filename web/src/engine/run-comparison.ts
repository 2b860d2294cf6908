/** @file Runs one prompt through several cache formats of the same weights, one token of each in turn. */
import { allocatedBytes, type LLM, parseKvSpec, type Session } from "turboquant";
import type { CompareEvent, CompareRequest } from "./protocol.ts";

const F16 = parseKvSpec("f16");

/** Sampling is greedy, so that only the cache can make a difference. */
export async function runComparison(
  owner: LLM,
  { prompt, isRaw, formats, maxNewTokens }: CompareRequest,
  send: (event: CompareEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const ids =
    isRaw || !owner.tokenizer.chatTemplate
      ? owner.tokenizer.encode(prompt)
      : await owner.encodeChat([{ role: "user", content: prompt }]);
  const views: LLM[] = [];
  const sessions: Session[] = [];
  try {
    for (const kv of formats) views.push(await owner.withKv(kv));
    const columns = views.map((llm, column) => {
      const session = llm.createSession();
      sessions.push(session);
      const chunks = session.generate(ids, {
        maxNewTokens,
        temperature: 0,
        signal,
        onPrefill: (done, total) => send({ type: "prefill", column, done, total }),
      });
      return { column, llm, session, chunks, hasBegun: false, decodeMs: 0 };
    });
    let open = columns;
    while (open.length > 0) {
      const still: typeof columns = [];
      for (const entry of open) {
        const { column, llm, session, chunks } = entry;
        const asked = performance.now();
        const { value, done } = await chunks.next();
        if (done) continue;
        // Only this column's own steps are timed; the engine's timings would include those of the others.
        if (entry.hasBegun) entry.decodeMs += performance.now() - asked;
        entry.hasBegun = true;
        if (value.token !== undefined) send({ type: "token", column, token: value.token, text: value.text });
        const { finishReason, usage } = value;
        if (!finishReason || !usage) {
          still.push(entry);
          continue;
        }
        const result = {
          kv: llm.decoder.kv.text,
          promptTokens: usage.promptTokens,
          finishReason,
          decodeTokPerSec: entry.decodeMs > 0 ? (1000 * (usage.completionTokens - 1)) / entry.decodeMs : 0,
          numBytes: session.kvBytes,
          f16Bytes: allocatedBytes(llm.config, F16, session.sequence.length),
        };
        send({ type: "done", column, result });
      }
      open = still;
    }
  } finally {
    for (const session of sessions) session.release();
    for (const view of views) await view.dispose();
  }
}
