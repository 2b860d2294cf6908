/** @file The sidebar: views, conversations, and settings of the whole page. */
import { useEffect, useState } from "preact/hooks";
import { ConversationList } from "./conversation-list.tsx";
import { engineStore } from "./engine/engine-store.ts";
import { deletionStore } from "./kept/kept-store.ts";
import { reportStore } from "./report/report-store.ts";
import { offlineStore, takeUpdate } from "./sw/register.ts";
import { Icon, type IconName } from "./ui/icon.tsx";
import { linkTo, type View, viewStore } from "./ui/route.ts";
import { useStore } from "./ui/store.ts";
import { ThemeButton } from "./ui/theme.tsx";
import { offlineNote } from "./where-words-go.ts";

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
      <header class="wordmark">
        <Icon name="memory" />
        TurboQuant
      </header>
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
      <ConversationList onNavigate={onNavigate} />
      <footer class="sidebar-foot">
        <Offline />
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

function Offline() {
  const state = useStore(offlineStore);
  const choice = useStore(engineStore, (state) => state.choice);
  const status = useStore(engineStore, (state) => state.status);
  const deletion = useStore(deletionStore);
  const [note, setNote] = useState("");
  useEffect(() => {
    let isShown = true;
    void offlineNote(choice).then((next) => isShown && setNote(next));
    return () => {
      isShown = false;
    };
  }, [choice, status, deletion]);
  if (state === "update") {
    return (
      <p class="hint">
        A newer version is ready.{" "}
        <button type="button" class="link-button" onClick={takeUpdate}>
          Reload
        </button>
      </p>
    );
  }
  return state === "offline" && note ? <p class="hint kept">{note}</p> : null;
}
