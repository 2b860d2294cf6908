/** @file The dialog for the settings of answers: length, temperature, system message. */
import { changeSettings, settingsStore } from "../chat/settings.ts";
import { KeptList } from "../kept/kept-list.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { useStore } from "../ui/store.ts";

const MOST_TOKENS = 32_768;
const HIGHEST_TEMPERATURE = 2;
const LARGEST_SEED = 2 ** 32 - 1;

export function SettingsDialog({ onClose }: { readonly onClose: () => void }) {
  const { maxNewTokens, temperature, seed, system } = useStore(settingsStore);
  return (
    <Dialog title="Settings" onClose={onClose}>
      <div class="form">
        <label class="field">
          <span class="field-label">Longest answer, in tokens</span>
          <input
            type="number"
            min={1}
            max={MOST_TOKENS}
            value={maxNewTokens}
            onChange={({ currentTarget }) => {
              const tokens = Math.round(currentTarget.valueAsNumber);
              if (tokens >= 1 && tokens <= MOST_TOKENS) changeSettings({ maxNewTokens: tokens });
              else currentTarget.value = String(maxNewTokens);
            }}
          />
        </label>
        <fieldset class="field">
          <legend class="field-label">Temperature</legend>
          <label class="choice">
            <input
              type="checkbox"
              checked={temperature === null}
              onChange={({ currentTarget }) => changeSettings({ temperature: currentTarget.checked ? null : 0.7 })}
            />
            As the model's makers say
          </label>
          {temperature !== null && (
            <label class="slider">
              <span class="visually-hidden">Temperature</span>
              <input
                type="range"
                min={0}
                max={HIGHEST_TEMPERATURE}
                step={0.05}
                value={temperature}
                onInput={({ currentTarget }) => changeSettings({ temperature: currentTarget.valueAsNumber })}
              />
              <output class="number">{temperature === 0 ? "greedy" : temperature.toFixed(2)}</output>
            </label>
          )}
        </fieldset>
        {temperature !== null && temperature > 0 && (
          <label class="field">
            <span class="field-label">Seed</span>
            <input
              type="number"
              min={0}
              max={LARGEST_SEED}
              placeholder="Another for each answer"
              value={seed ?? ""}
              onChange={({ currentTarget }) => {
                const value = currentTarget.valueAsNumber;
                changeSettings({ seed: Number.isInteger(value) && value >= 0 && value <= LARGEST_SEED ? value : null });
              }}
            />
          </label>
        )}
        <label class="field">
          <span class="field-label">System message</span>
          <textarea
            rows={3}
            value={system}
            placeholder="None"
            onChange={({ currentTarget }) => changeSettings({ system: currentTarget.value })}
          />
          <span class="hint">Part of every conversation from its next message on.</span>
        </label>
        <KeptList />
      </div>
    </Dialog>
  );
}
