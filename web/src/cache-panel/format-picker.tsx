/**
 * @file Selects the format of the cache. Each is shown with what this conversation takes in it and how far it reaches on this device, so
 * that the choice is seen before it is made. Any other spec that the engine accepts can be typed.
 */
import { useState } from "preact/hooks";
import { chatStore } from "../chat/chat-store.ts";
import { engineStore, plainError } from "../engine/engine-store.ts";
import type { CacheState, ModelInfo } from "../engine/protocol.ts";
import { formatBytes, formatCount } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";
import { Term } from "../ui/term.tsx";
import { TELLING_TOKENS, wordsOf } from "./format-names.ts";
import { switchFormat, switchStore } from "./switch-format.ts";

export function FormatPicker() {
  const choice = useStore(engineStore, ({ choice }) => choice);
  const status = useStore(engineStore, ({ status }) => status);
  const info = useStore(engineStore, ({ info }) => info);
  const cache = useStore(engineStore, ({ cache }) => cache);
  const change = useStore(switchStore);
  const isAnswering = useStore(chatStore, ({ isAnswering }) => isAnswering);
  const [error, setError] = useState("");
  const kv = choice?.where === "tab" ? choice.kv : "";
  const isBusy = status !== "ready" || isAnswering;
  const choose = async (next: string): Promise<void> => {
    if (next === kv || next === "") return;
    setError("");
    await switchFormat(next).catch((error: unknown) => setError(plainError(error).message.replace(/^--kv: /, "")));
  };
  if (!info || info.reaches.length === 0) return null;
  const isWriting = change?.isWriting ?? false;
  const rows = rowsOf(info, isWriting ? change!.before : cache, isWriting ? "" : kv);
  const isOffered = rows.some((row) => row.kv === kv && wordsOf(row.kv) !== "");
  return (
    <fieldset class="format" disabled={isBusy}>
      <legend class="label">
        <Term name="format">Format</Term>
      </legend>
      <p class="hint">{captionOf(info, cache)}</p>
      <div class="format-rows">
        {rows.map((row) => (
          <label key={row.kv} class="format-row">
            <input type="radio" name="kv" checked={row.kv === kv} onChange={() => void choose(row.kv)} />
            <span class="format-name">
              {row.kv} <span class="faint">{wordsOf(row.kv)}</span>
            </span>
            <span class="number">{formatBytes(row.numBytes)}</span>
            <span class="format-bar" aria-hidden="true">
              <span style={{ width: `${100 * row.share}%` }} />
            </span>
            {row.reach && <span class="format-reach faint number">{row.reach}</span>}
          </label>
        ))}
      </div>
      <label class="custom-format">
        <span class="visually-hidden">Another format</span>
        <input
          type="text"
          spellcheck={false}
          autocapitalize="none"
          autocomplete="off"
          placeholder="another: k5v3,window=64"
          value={isOffered ? "" : kv}
          aria-invalid={error !== ""}
          aria-describedby={error ? "format-error" : undefined}
          onChange={({ currentTarget }) => void choose(currentTarget.value.trim())}
          onKeyDown={(event) => {
            if (event.key === "Enter") event.currentTarget.blur();
          }}
        />
      </label>
      {error && (
        <p id="format-error" class="problem" role="alert">
          {error}
        </p>
      )}
    </fieldset>
  );
}

interface Row {
  readonly kv: string;
  readonly numBytes: number;
  /** Of the row that takes the most, from 0 to 1. */
  readonly share: number;
  /** Empty where all formats reach as far. */
  readonly reach: string;
}

/** Of the conversation at hand, or of one as long as the model takes it. inUse: the format that `cache` is in */
function rowsOf({ reaches }: ModelInfo, cache: CacheState | null, inUse: string): Row[] {
  // What is allocated at the moment may be a page more than what the length asks for.
  const bytesOf = (kv: string): number | undefined =>
    kv === inUse ? cache?.numBytes : cache?.formats.find((format) => format.kv === kv)?.numBytes;
  const isEmpty = !cache || cache.tokens === 0;
  const rows = reaches.map(({ kv, tokens, fullBytes }) => ({
    kv,
    tokens,
    numBytes: isEmpty ? fullBytes : (bytesOf(kv) ?? 0),
  }));
  const most = Math.max(1, ...rows.map(({ numBytes }) => numBytes));
  const isSame = rows.every(({ tokens }) => tokens === rows[0]!.tokens);
  return rows.map(({ kv, tokens, numBytes }) => ({
    kv,
    numBytes,
    share: numBytes / most,
    reach: isSame ? "" : tokens > 0 ? `up to ${formatCount(tokens)} tokens here` : "does not fit this device",
  }));
}

function captionOf({ reaches, modelContext }: ModelInfo, cache: CacheState | null): string {
  const isSame = reaches.every(({ tokens }) => tokens === reaches[0]!.tokens);
  const reach = isSame ? ` Each reaches ${formatCount(reaches[0]!.tokens)} tokens on this device.` : "";
  if (cache && cache.tokens > 0) {
    const isShort = cache.tokens < TELLING_TOKENS;
    const doubt = isShort ? " It is too short to tell them apart: recent tokens are most of it." : "";
    return `What this conversation takes in each.${doubt}${reach}`;
  }
  return `What ${formatCount(modelContext)} tokens take in each.${reach}`;
}
