/** @file Lists models that run in the tab (embedded, the user's own files, or from the web) and selects the backend. */
import { useState } from "preact/hooks";
import { DEFAULT_KV, type EngineChoice } from "../engine/engine-choice.ts";
import { engineStore } from "../engine/engine-store.ts";
import { type BackendChoice, type ModelRef, WEIGHT_CHOICES, type WeightChoice } from "../engine/protocol.ts";
import { FileButton } from "../ui/file-button.tsx";
import { formatBytes } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { backendHint, thisBrowser } from "./backend-hint.ts";
import { pickedFiles } from "./dropped-files.ts";
import { readPicked } from "./folder.ts";
import { modelsStore } from "./models-store.ts";
import { WebModels } from "./web-models.tsx";

const BACKENDS: readonly (readonly [BackendChoice, string])[] = [
  ["auto", "Automatic"],
  ["webgpu", "WebGPU"],
  ["wasm", "CPU"],
];

export function TabModels({ onChoose }: { readonly onChoose: (choice: EngineChoice) => void }) {
  const models = useStore(modelsStore);
  const { choice, info } = useStore(engineStore);
  const tab = choice?.where === "tab" ? choice : null;
  const [backend, setBackend] = useState<BackendChoice>(tab?.backend ?? "auto");
  const [weights, setWeights] = useState<WeightChoice>(tab?.weights ?? "auto");
  const choose = (model: ModelRef): void =>
    onChoose({ where: "tab", model, kv: tab?.kv ?? DEFAULT_KV, backend, weights });
  return (
    <div class="form">
      <fieldset class="field">
        <legend class="field-label">What computes</legend>
        <div class="segmented segmented-wide">
          {BACKENDS.map(([name, label]) => (
            <label key={name} class="segment">
              <input type="radio" name="backend" checked={backend === name} onChange={() => setBackend(name)} />
              <span>{label}</span>
            </label>
          ))}
        </div>
        <p class="hint">{backendHint(backend, thisBrowser())}</p>
      </fieldset>
      <fieldset class="field">
        <legend class="field-label">Weights</legend>
        <div class="segmented segmented-wide">
          {WEIGHT_CHOICES.map((name) => (
            <label key={name} class="segment">
              <input type="radio" name="weights" checked={weights === name} onChange={() => setWeights(name)} />
              <span>{name === "auto" ? "As stored" : name}</span>
            </label>
          ))}
        </div>
      </fieldset>
      {tab && info ? (
        <div class="row row-wrap">
          <button
            type="button"
            class="button apply"
            disabled={backend === tab.backend && weights === tab.weights}
            onClick={() => onChoose({ ...tab, backend, weights })}
          >
            Apply to {info.name}
          </button>
          <span class="hint">
            It is loaded again, and answers until then. Models that you choose below take both as well.
          </span>
        </div>
      ) : (
        <p class="hint">Both are for the model that you choose below.</p>
      )}
      <div class="field">
        <h3 class="field-label">Embedded</h3>
        <ul class="model-list">
          {models.map((model) => (
            <li key={model.name}>
              <button
                type="button"
                class="model-choice"
                aria-current={info?.name === model.name ? "true" : undefined}
                onClick={() => choose({ kind: "embedded", ...model })}
              >
                <span>{model.name}</span>
                <span class="faint number">{formatBytes(model.files.reduce((sum, file) => sum + file.bytes, 0))}</span>
              </button>
            </li>
          ))}
          {models.length === 0 && <li class="hint">None lies beside this page.</li>}
        </ul>
      </div>
      <OwnFiles onChoose={choose} />
      <WebModels onChoose={choose} />
    </div>
  );
}

function OwnFiles({ onChoose }: { readonly onChoose: (model: ModelRef) => void }) {
  const [problem, setProblem] = useState("");
  const choose = (files: readonly File[]): void => {
    const picked = readPicked(pickedFiles(files));
    if ("problem" in picked) setProblem(picked.problem);
    else onChoose(picked);
  };
  return (
    <div class="field">
      <h3 class="field-label">Your own</h3>
      <div class="row row-wrap">
        <FileButton class="button" inputLabel="A GGUF file" picks="files" accept=".gguf" onFiles={choose}>
          <Icon name="folder" />
          Open a GGUF file
        </FileButton>
        <FileButton class="button" inputLabel="A checkpoint's folder" picks="folder" onFiles={choose}>
          <Icon name="folder" />
          Open a checkpoint's folder
        </FileButton>
      </div>
      {problem ? (
        <p class="problem" role="alert">
          {problem}
        </p>
      ) : (
        <p class="hint">
          A .gguf file with all its parts, or config.json, tokenizer.json and *.safetensors; you can also drop them on
          the page. They are read here and sent nowhere.
        </p>
      )}
    </div>
  );
}
