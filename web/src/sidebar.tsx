/** @file The sidebar: views, conversations, and settings of the whole page. */
import { chatStore, deleteConversation, openConversation, startNew } from "./chat/chat-store.ts";
import type { EngineChoice, ServerChoice } from "./engine/engine-choice.ts";
import { engineStore } from "./engine/engine-store.ts";
import { reportStore } from "./report/report-store.ts";
import { keptStore, takeUpdate } from "./sw/register.ts";
import { formatAge } from "./ui/format.ts";
import { Icon, type IconName } from "./ui/icon.tsx";
import { linkTo, type View, viewStore } from "./ui/route.ts";
import { useStore } from "./ui/store.ts";
import { ThemeButton } from "./ui/theme.tsx";

interface SidebarProps {
  readonly onSettings: () => void;
  /** Called when another view or conversation is shown. */
  readonly onNavigate: () => void;
}

const LINKS: readonly (readonly [View, string, IconName])[] = [
  ["chat", "Chat", "chat"],
  ["compare", "Compare", "compare"],
  ["plan", "Plan", "plan"],
  ["report", "Report", "report"],
];

export function Sidebar({ onSettings, onNavigate }: SidebarProps) {
  const view = useStore(viewStore);
  const report = useStore(reportStore);
  const links = LINKS.filter(([name]) => name !== "report" || report === "there" || view === "report");
  return (
    <div class="sidebar">
      <p class="wordmark">
        <Icon name="memory" />
        TurboQuant
      </p>
      <nav aria-label="Views">
        <ul class="nav">
          {links.map(([name, label, icon]) => (
            <li key={name}>
              <a href={linkTo(name)} aria-current={view === name ? "page" : undefined} onClick={onNavigate}>
                <Icon name={icon} />
                {label}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <Conversations onNavigate={onNavigate} />
      <footer class="sidebar-foot">
        <Kept />
        <div class="row">
          <button type="button" class="quiet-button" onClick={onSettings}>
            <Icon name="settings" />
            Settings
          </button>
          <ThemeButton />
        </div>
      </footer>
    </div>
  );
}

function Conversations({ onNavigate }: { readonly onNavigate: () => void }) {
  const others = useStore(chatStore, (state) => state.others);
  const currentId = useStore(chatStore, (state) => state.current.id);
  const choice = useStore(engineStore, (state) => state.choice);
  const show = (open: () => void): void => {
    open();
    location.hash = linkTo("chat");
    onNavigate();
  };
  return (
    <section class="conversations" aria-labelledby="conversations-title">
      <header class="row">
        <h2 id="conversations-title" class="label">
          Conversations
        </h2>
        <button type="button" class="icon-button" aria-label="New conversation" onClick={() => show(startNew)}>
          <Icon name="plus" />
        </button>
      </header>
      {others.length === 0 && <p class="hint">{whereWordsGo(choice)}</p>}
      <ul>
        {others.map(({ id, title, updatedAt }) => (
          <li key={id} class="conversation">
            <button
              type="button"
              class="conversation-open"
              aria-current={id === currentId ? "true" : undefined}
              onClick={() => show(() => openConversation(id))}
            >
              <span class="conversation-title">{title}</span>
              <span class="conversation-age">{formatAge(updatedAt)}</span>
            </button>
            <button
              type="button"
              class="icon-button conversation-delete"
              aria-label={`Delete ${title}`}
              onClick={() => void deleteConversation(id)}
            >
              <Icon name="trash" />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Kept() {
  const kept = useStore(keptStore);
  const choice = useStore(engineStore, (state) => state.choice);
  if (kept === "update") {
    return (
      <p class="hint">
        A newer version is ready.{" "}
        <button type="button" class="link-button" onClick={takeUpdate}>
          Reload
        </button>
      </p>
    );
  }
  return kept === "offline" ? <p class="hint kept">{offlineNote(choice)}</p> : null;
}

const hostOf = ({ address }: ServerChoice): string => new URL(address.url || ".", location.href).host;

function whereWordsGo(choice: EngineChoice | null): string {
  if (choice?.where === "server")
    return `What you say is kept in this browser, and sent to ${hostOf(choice)}, whose model answers.`;
  return choice
    ? "What you say is kept in this browser and goes nowhere else."
    : "What you say is kept in this browser.";
}

/** What opens without a network; a picked file has to be picked again in any case. */
function offlineNote(choice: EngineChoice | null): string {
  if (choice?.where === "server") return `The page opens offline, its model on ${hostOf(choice)} does not`;
  return choice?.model.kind === "url" ? "The page opens offline, a model from the web does not" : "Works offline";
}
