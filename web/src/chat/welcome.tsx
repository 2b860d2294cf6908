/** @file Shown before the first message: what this page is, and suggestions. */
import { engineStore } from "../engine/engine-store.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { sendMessage } from "./chat-store.ts";
import { writeDraft } from "./drafts.ts";
import { STARTERS } from "./starters.ts";

export function Welcome() {
  const { status, info } = useStore(engineStore);
  const isTab = info?.backendName !== "server";
  return (
    <section class="welcome">
      <h1>
        A language model,
        <br />
        and what it remembers.
      </h1>
      <p class="lead">
        {isTab
          ? "It runs in this tab. Every key and value it attends to is kept in a few bits, and read as it lies."
          : "It runs on the server. Every key and value it attends to is kept in a few bits, and read as it lies."}
      </p>
      <ul class="starters">
        {STARTERS.map(({ title, note, text }) => (
          <li key={title}>
            <button
              type="button"
              class="starter"
              onClick={() => {
                if (status === "ready") void sendMessage(text, title);
                else writeDraft(text);
              }}
            >
              <span class="starter-title">{title}</span>
              <span class="starter-note">{note}</span>
              <Icon name="send" />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
