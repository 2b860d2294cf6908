/** @file Lists models that run in the tab (embedded, the user's own files, or from the web) and selects the backend. */
import { useState } from "preact/hooks";
import { DEFAULT_KV, type EngineChoice } from "../engine/engine-choice.ts";
import { engineStore } from "../engine/engine-store.ts";
import { type BackendChoice, type ModelRef, WEIGHT_CHOICES, type WeightChoice } from "../engine/protocol.ts";
import { FileButton } from "../ui/file-button.tsx";
import { formatBytes } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
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
        <p class="hint">{hintOf(backend)}</p>
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

function hintOf(backend: BackendChoice): string {
  const cpu = globalThis.crossOriginIsolated
    ? `WebAssembly on ${navigator.hardwareConcurrency} threads.`
    : "WebAssembly on one thread: this page is not cross-origin isolated. A reload, or the server's headers, may change that.";
  if (backend === "wasm") return cpu;
  if (backend === "webgpu") {
    return "gpu" in navigator
      ? "The graphics card, whatever it is."
      : "This browser has no WebGPU here; it will say so.";
  }
  return "The graphics card if there is one, else the CPU.";
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
