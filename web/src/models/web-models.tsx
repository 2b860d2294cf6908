/** @file Models from the web: those that the browser keeps, a short catalogue, and any other by its address or its name on the hub. */
import { useEffect, useState } from "preact/hooks";
import { engineStore } from "../engine/engine-store.ts";
import type { ModelRef } from "../engine/protocol.ts";
import { type KeptModel, keptBytes, listKeptModels } from "../kept/kept-models.ts";
import { forgetModel } from "../kept/kept-store.ts";
import { formatBytes } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { CATALOGUE, fitsDevice, thisDevice } from "./catalogue.ts";

interface WebModelsProps {
  readonly onChoose: (model: ModelRef) => void;
}

export function WebModels({ onChoose }: WebModelsProps) {
  const [kept, setKept] = useState<readonly KeptModel[]>([]);
  const status = useStore(engineStore, (state) => state.status);
  const refresh = (): void => void listKeptModels().then(setKept);
  useEffect(refresh, [status]);
  const choose = (ref: string): void => onChoose({ kind: "url", ref });
  const device = thisDevice();
  return (
    <>
      {kept.length > 0 && (
        <div class="field">
          <h3 class="field-label">Kept in this browser</h3>
          <ul class="model-list">
            {kept.map((model) => (
              <li key={model.ref} class="kept-model">
                <button type="button" class="model-choice" onClick={() => choose(model.ref)}>
                  <span>{nameOf(model.ref)}</span>
                  <span class="faint number">
                    {formatBytes(keptBytes(model))}
                    {model.isWhole ? "" : ", goes on where it ended"}
                  </span>
                </button>
                <button
                  type="button"
                  class="icon-button"
                  aria-label={`Delete ${nameOf(model.ref)} from this browser`}
                  onClick={() => void forgetModel(model.ref).then(refresh)}
                >
                  <Icon name="trash" />
                </button>
              </li>
            ))}
          </ul>
        </div>
      )}
      <div class="field">
        <h3 class="field-label">From the hub</h3>
        <ul class="model-list">
          {CATALOGUE.filter(({ ref }) => !kept.some((model) => model.ref === ref)).map((model) => (
            <li key={model.ref}>
              <button type="button" class="model-choice catalogue-choice" onClick={() => choose(model.ref)}>
                <span>
                  {model.name} <span class="faint">{model.note}</span>
                </span>
                <span class="number">
                  about {formatBytes(model.bytes)} <span class="faint">{FITS[String(fitsDevice(model, device))]}</span>
                </span>
              </button>
            </li>
          ))}
        </ul>
        <p class="hint">
          Fetched once and kept in this browser; a download that was cut goes on where it ended. Nothing you say is sent
          there.
        </p>
      </div>
      <ByAddress onChoose={choose} />
    </>
  );
}

const FITS: Readonly<Record<string, string>> = {
  true: "fits this device",
  false: "too large for this device",
  null: "tried when it is loaded",
};

/** The end of an address; a name on the hub as it is. */
const nameOf = (ref: string): string =>
  /^https?:/.test(ref) ? (ref.split(/[?#]/)[0]!.split("/").filter(Boolean).at(-1) ?? ref) : ref;

function ByAddress({ onChoose }: { readonly onChoose: (ref: string) => void }) {
  const [ref, setRef] = useState("");
  return (
    <form
      class="field"
      onSubmit={(event) => {
        event.preventDefault();
        if (ref.trim()) onChoose(ref.trim());
      }}
    >
      <label class="field-label" for="model-url">
        From the web
      </label>
      <div class="row">
        <input
          id="model-url"
          type="text"
          spellcheck={false}
          autocapitalize="none"
          placeholder="org/name:Q4_K_M, or https://….gguf"
          value={ref}
          onInput={({ currentTarget }) => setRef(currentTarget.value)}
        />
        <button type="submit" class="button" disabled={ref.trim() === ""}>
          Load
        </button>
      </div>
    </form>
  );
}
