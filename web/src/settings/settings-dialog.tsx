/** @file The dialog for the settings of answers: length, how tokens are drawn, system messages. */
import { setDefaultSystem, setSystem } from "../chat/change-current.ts";
import { chatStore } from "../chat/chat-store.ts";
import { changeSettings, settingsStore } from "../chat/settings.ts";
import { KeptList } from "../kept/kept-list.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { useStore } from "../ui/store.ts";
import { NumberField } from "./number-field.tsx";

const MOST_TOKENS = 32_768;
const HIGHEST_TEMPERATURE = 2;
const MOST_TOP_K = 1000;
const LARGEST_SEED = 2 ** 32 - 1;
const BY_MAKERS = "As the model's makers say";

export function SettingsDialog({ onClose }: { readonly onClose: () => void }) {
  const { maxNewTokens, temperature } = useStore(settingsStore);
  return (
    <Dialog title="Settings" onClose={onClose}>
      <div class="form">
        <NumberField
          {...{ label: "Longest answer, in tokens", least: 1, most: MOST_TOKENS, step: 1, value: maxNewTokens }}
          onNumber={(tokens) => changeSettings({ maxNewTokens: tokens! })}
        />
        <fieldset class="field">
          <legend class="field-label">Temperature</legend>
          <label class="choice">
            <input
              type="checkbox"
              checked={temperature === null}
              onChange={({ currentTarget }) => changeSettings({ temperature: currentTarget.checked ? null : 0.7 })}
            />
            {BY_MAKERS}
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
        {temperature !== null && temperature > 0 && <Drawing />}
        <SystemMessages />
        <KeptList />
      </div>
    </Dialog>
  );
}

/** Which tokens may be drawn, and with which numbers. */
function Drawing() {
  const { topP, topK, minP, seed } = useStore(settingsStore);
  return (
    <>
      <NumberField
        {...{ label: "Top-p", least: 0.01, most: 1, step: 0.01, value: topP, otherwise: BY_MAKERS }}
        hint="Only the likeliest tokens, until their shares add up to this; 1 takes all."
        onNumber={(value) => changeSettings({ topP: value })}
      />
      <NumberField
        {...{ label: "Top-k", least: 0, most: MOST_TOP_K, step: 1, value: topK, otherwise: BY_MAKERS }}
        hint="Only so many of the likeliest tokens; 0 takes all."
        onNumber={(value) => changeSettings({ topK: value })}
      />
      <NumberField
        {...{ label: "Min-p", least: 0, most: 1, step: 0.01, value: minP, otherwise: BY_MAKERS }}
        hint="Only tokens that have this share of the likeliest one's; 0 takes all."
        onNumber={(value) => changeSettings({ minP: value })}
      />
      <NumberField
        {...{ label: "Seed", least: 0, most: LARGEST_SEED, step: 1, value: seed, otherwise: "Another for each answer" }}
        onNumber={(value) => changeSettings({ seed: value })}
      />
    </>
  );
}

function SystemMessages() {
  const system = useStore(settingsStore, (settings) => settings.system);
  const own = useStore(chatStore, (state) => state.current.system);
  const isBusy = useStore(chatStore, (state) => state.isAnswering || state.isAnsweredElsewhere);
  return (
    <>
      <label class="field">
        <span class="field-label">System message of this conversation</span>
        <textarea
          rows={3}
          dir="auto"
          value={own}
          placeholder="None"
          disabled={isBusy}
          onInput={({ currentTarget }) => setSystem(currentTarget.value)}
        />
        <span class="hint">Part of it from the next message on, which reads the conversation anew.</span>
      </label>
      <label class="field">
        <span class="field-label">System message of new conversations</span>
        <textarea
          rows={3}
          dir="auto"
          value={system}
          placeholder="None"
          onInput={({ currentTarget }) => setDefaultSystem(currentTarget.value)}
        />
        <span class="hint">Conversations in which something was said keep theirs.</span>
      </label>
    </>
  );
}
