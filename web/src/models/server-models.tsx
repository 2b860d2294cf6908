/** @file Lists the models of an OpenAI-compatible server: the page's own, or another that allows this origin. */
import { useEffect, useState } from "preact/hooks";
import type { EngineChoice } from "../engine/engine-choice.ts";
import { engineStore, plainError } from "../engine/engine-store.ts";
import { listServerModels } from "../engine/server-engine.ts";
import { useStore } from "../ui/store.ts";

export function ServerModels({ onChoose }: { readonly onChoose: (choice: EngineChoice) => void }) {
  const { choice, info } = useStore(engineStore);
  const [url, setUrl] = useState(choice?.where === "server" ? choice.address.url : "");
  const [apiKey, setApiKey] = useState(choice?.where === "server" ? (choice.address.apiKey ?? "") : "");
  const [models, setModels] = useState<readonly string[] | null>(null);
  const [problem, setProblem] = useState("");
  const address = { url: url.trim(), ...(apiKey && { apiKey }) };
  const look = async (): Promise<void> => {
    setProblem("");
    setModels(null);
    try {
      setModels((await listServerModels(address)).map(({ id }) => id));
    } catch (error) {
      setProblem(plainError(error).message);
    }
  };
  useEffect(() => void look(), []);
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        void look();
      }}
    >
      <label class="field">
        <span class="field-label">Address</span>
        <input
          type="url"
          placeholder={location.origin}
          value={url}
          onInput={({ currentTarget }) => setUrl(currentTarget.value)}
        />
        <span class="hint">Empty: the server this page comes from.</span>
      </label>
      <label class="field">
        <span class="field-label">API key</span>
        <input
          type="password"
          autocomplete="off"
          placeholder="None"
          value={apiKey}
          onInput={({ currentTarget }) => setApiKey(currentTarget.value)}
        />
      </label>
      <button type="submit" class="button">
        Connect
      </button>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {models && (
        <div class="field">
          <h3 class="field-label">Models</h3>
          <ul class="model-list">
            {models.map((model) => (
              <li key={model}>
                <button
                  type="button"
                  class="model-choice"
                  aria-current={info?.backendName === "server" && info.name === model ? "true" : undefined}
                  onClick={() => onChoose({ where: "server", address, model })}
                >
                  {model}
                </button>
              </li>
            ))}
            {models.length === 0 && <li class="hint">It has none.</li>}
          </ul>
        </div>
      )}
    </form>
  );
}
