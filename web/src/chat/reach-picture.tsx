/** @file The product in one picture: how far a conversation goes on this device as most programs keep it, and as this page does. */
import { wordsOfTokens } from "../cache-panel/format-names.ts";
import type { ModelInfo } from "../engine/protocol.ts";
import { formatBytes, formatCount } from "../ui/format.ts";
import { Term } from "../ui/term.tsx";

export function ReachPicture({ info }: { readonly info: ModelInfo }) {
  const f16 = info.reaches.find(({ kv }) => kv === "f16");
  const own = info.reaches.find(({ kv }) => kv === info.kv);
  if (!f16 || !own || own === f16) return null;
  const isFurther = own.tokens > f16.tokens;
  // Where the model's own limit comes first, the same length takes less.
  const [most, rows] = isFurther
    ? [own.tokens, [f16, own].map(({ tokens }) => ({ value: tokens, text: `${formatCount(tokens)} tokens` }))]
    : [f16.fullBytes, [f16, own].map(({ fullBytes }) => ({ value: fullBytes, text: formatBytes(fullBytes) }))];
  return (
    <figure class="reach">
      <figcaption class="hint">
        {isFurther ? (
          <>
            How far a conversation goes on this device: {formatCount(wordsOfTokens(f16.tokens))} words, or{" "}
            {formatCount(wordsOfTokens(own.tokens))}
          </>
        ) : (
          <>
            What {formatCount(info.modelContext)} <Term name="token">tokens</Term>, some{" "}
            {formatCount(wordsOfTokens(info.modelContext))} words, take of this device's memory
          </>
        )}
      </figcaption>
      <div class="reach-rows">
        {[f16, own].map(({ kv }, i) => (
          <>
            <span>
              {i === 0 ? <Term name="f16">as elsewhere</Term> : <Term name="format">compressed</Term>}{" "}
              <span class="faint">{kv}</span>
            </span>
            <span
              class={i === 0 ? "reach-bar" : "reach-bar reach-bar-own"}
              style={{ width: `${(100 * rows[i]!.value) / most}%` }}
              aria-hidden="true"
            />
            <span class="number">{rows[i]!.text}</span>
          </>
        ))}
      </div>
    </figure>
  );
}
