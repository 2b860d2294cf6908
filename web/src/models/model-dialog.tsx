/** @file The dialog that selects a model and where it runs: in this tab or on a server. */
import { useState } from "preact/hooks";
import type { EngineChoice } from "../engine/engine-choice.ts";
import { engineStore, loadEngine } from "../engine/engine-store.ts";
import { Dialog } from "../ui/dialog.tsx";
import { useStore } from "../ui/store.ts";
import { ServerModels } from "./server-models.tsx";
import { TabModels } from "./tab-models.tsx";

const PLACES = [
  ["tab", "In this tab"],
  ["server", "On a server"],
] as const;

export function ModelDialog({ onClose }: { readonly onClose: () => void }) {
  const { choice, info } = useStore(engineStore);
  const [where, setWhere] = useState<"tab" | "server">(choice?.where ?? "tab");
  const choose = (next: EngineChoice): void => {
    onClose();
    void loadEngine(next);
  };
  return (
    <Dialog title="Model" onClose={onClose}>
      <fieldset class="segmented segmented-wide">
        <legend class="visually-hidden">Where the model runs</legend>
        {PLACES.map(([place, label]) => (
          <label key={place} class="segment">
            <input type="radio" name="where" checked={where === place} onChange={() => setWhere(place)} />
            <span>{label}</span>
          </label>
        ))}
      </fieldset>
      {where === "tab" ? <TabModels onChoose={choose} /> : <ServerModels onChoose={choose} />}
      {info && (
        <p class="hint engine-note">
          Now: {info.name}, {info.backend}
          {info.backendChoice && ` – ${info.backendChoice.split(";")[0]}`}
        </p>
      )}
    </Dialog>
  );
}
