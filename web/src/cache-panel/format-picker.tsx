/** @file Selects the format of the cache: one of a few presets, or any spec that the engine accepts. */
import { useState } from "preact/hooks";
import { chatStore } from "../chat/chat-store.ts";
import { changeKv, engineStore, plainError } from "../engine/engine-store.ts";
import { useStore } from "../ui/store.ts";

const PRESETS = ["f16", "k8v8", "k4v4", "k3v3", "k2v2"] as const;

export function FormatPicker() {
  const { choice, status } = useStore(engineStore);
  const { isAnswering } = useStore(chatStore);
  const [error, setError] = useState("");
  const kv = choice?.where === "tab" ? choice.kv : "";
  const isPreset = PRESETS.some((preset) => preset === kv);
  const isBusy = status !== "ready" || isAnswering;
  const change = async (next: string): Promise<void> => {
    if (next === kv || next === "") return;
    setError("");
    await changeKv(next).catch((error: unknown) => setError(plainError(error).message.replace(/^--kv: /, "")));
  };
  return (
    <fieldset class="format" disabled={isBusy}>
      <legend class="label">Format</legend>
      <div class="segmented">
        {PRESETS.map((preset) => (
          <label key={preset} class="segment">
            <input type="radio" name="kv" checked={kv === preset} onChange={() => void change(preset)} />
            <span>{preset}</span>
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
          value={isPreset ? "" : kv}
          aria-invalid={error !== ""}
          aria-describedby={error ? "format-error" : undefined}
          onChange={({ currentTarget }) => void change(currentTarget.value.trim())}
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
