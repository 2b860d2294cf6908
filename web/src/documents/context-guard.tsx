/** @file Says that a message does not fit the context, and offers every way out that there is. */
import { useState } from "preact/hooks";
import { switchFormat } from "../cache-panel/switch-format.ts";
import { chatStore } from "../chat/chat-store.ts";
import { engineStore, loadEngine, plainError } from "../engine/engine-store.ts";
import { formatCount } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { formatsThatHold, oldTurns } from "./context-ways.ts";
import { isTooLong, LEAST_ANSWER_TOKENS, measureStore } from "./count-tokens.ts";
import { attachmentsStore } from "./documents-store.ts";
import { leaveOutOldTurns, longestDocument, shortenDocument } from "./make-room.ts";
import { nextConversation } from "./watch-length.ts";

/** A model is stretched to a round number of tokens. */
const ROUND_TOKENS = 1024;

interface Way {
  readonly label: string;
  readonly note?: string;
  readonly take: () => Promise<boolean>;
}

export function ContextGuard() {
  const measured = useStore(measureStore);
  const info = useStore(engineStore, (state) => state.info);
  const choice = useStore(engineStore, (state) => state.choice);
  const current = useStore(chatStore, (state) => state.current);
  useStore(attachmentsStore);
  const [isBusy, setIsBusy] = useState(false);
  const [problem, setProblem] = useState("");
  if (!measured || !info || measured.conversation !== current.id || !isTooLong(measured)) return null;

  const needed = measured.tokens + LEAST_ANSWER_TOKENS;
  const ways: Way[] = [];
  const format = formatsThatHold(info, needed).hold[0];
  if (format && choice?.where === "tab") {
    const reach = info.reaches.find(({ kv }) => kv === format)!.tokens;
    ways.push({
      label: `Keep the cache in ${format}`,
      note: `holds ${formatCount(reach)} tokens`,
      take: async () => {
        await switchFormat(format);
        return true;
      },
    });
  }
  const long = longestDocument();
  if (long) {
    ways.push({
      label: `Shorten ${long.document.name}`,
      note: "its beginning and end",
      take: () => shortenDocument(long),
    });
  }
  if (oldTurns(nextConversation(current)).length > 0) {
    ways.push({ label: "Leave out the oldest turns", note: "they stay on the page", take: leaveOutOldTurns });
  }
  if (!format && choice?.where === "tab" && needed > info.modelContext) {
    const contextLength = Math.ceil(needed / ROUND_TOKENS) * ROUND_TOKENS;
    ways.push({
      label: `Stretch the model to ${formatCount(contextLength)} tokens`,
      note: "beyond its training, at some loss",
      take: async () => {
        await loadEngine({ ...choice, contextLength });
        return engineStore.get().status === "ready" && engineStore.get().error === null;
      },
    });
  }
  const take = async (way: Way): Promise<void> => {
    setIsBusy(true);
    setProblem("");
    try {
      if (!(await way.take())) setProblem(`${way.label}: that is not enough; try another way.`);
    } catch (error) {
      setProblem(plainError(error).message);
    }
    setIsBusy(false);
  };
  return (
    <section class="context-guard" aria-label="Does not fit the context">
      <p>
        <Icon name="warning" />
        {measured.isAbout ? "About " : ""}
        <strong>{formatCount(measured.tokens)} tokens</strong> do not fit: {info.name} holds{" "}
        {formatCount(measured.limit)} {choice?.where === "tab" ? `in ${choice.kv}` : "on the server"}.
      </p>
      <div class="row row-wrap">
        {ways.map((way) => (
          <button key={way.label} type="button" class="button" disabled={isBusy} onClick={() => void take(way)}>
            {way.label}
            {way.note && <span class="faint"> {way.note}</span>}
          </button>
        ))}
      </div>
      {ways.length === 0 && <p class="hint">Make the message shorter, or begin a new conversation.</p>}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}
