/** @file The page: sidebar, one of the views, and beside the chat the panel of its cache. */
import { useCallback, useState } from "preact/hooks";
import { CachePanel } from "./cache-panel/cache-panel.tsx";
import { ChatView } from "./chat/chat-view.tsx";
import { UndoDeletion } from "./chat/undo-deletion.tsx";
import { CompareView } from "./compare/compare-view.tsx";
import { useDroppedFiles } from "./models/drop.ts";
import { ModelDialog } from "./models/model-dialog.tsx";
import { PlanView } from "./plan/plan-view.tsx";
import { ReportView } from "./report/report-view.tsx";
import { SettingsDialog } from "./settings/settings-dialog.tsx";
import { Sidebar } from "./sidebar.tsx";
import { TopBar } from "./top-bar.tsx";
import { Dialog } from "./ui/dialog.tsx";
import { type View, viewStore } from "./ui/route.ts";
import { useStore } from "./ui/store.ts";
import { NARROW, NO_ROOM_FOR_PANEL, useMedia } from "./ui/use-media.ts";

type Open = "none" | "model" | "settings" | "menu" | "memory";

function CurrentView({ view, onChooseModel }: { readonly view: View; readonly onChooseModel: () => void }) {
  if (view === "compare") return <CompareView />;
  if (view === "plan") return <PlanView />;
  if (view === "report") return <ReportView />;
  return <ChatView onChooseModel={onChooseModel} />;
}

export function App() {
  const view = useStore(viewStore);
  const isNarrow = useMedia(NARROW);
  const hasNoPanel = useMedia(NO_ROOM_FOR_PANEL);
  const [open, setOpen] = useState<Open>("none");
  const close = useCallback(() => setOpen("none"), []);
  useDroppedFiles(close);
  const hasDrawer = open === "menu" && isNarrow;
  const sidebar = <Sidebar onSettings={() => setOpen("settings")} onNavigate={close} />;
  return (
    <div class="app" data-panel={view === "chat" && !hasNoPanel ? "" : undefined}>
      {/* biome-ignore lint/a11y/useValidAnchor: a link for assistive technology; what stands behind the # is the view */}
      <a
        href="#main"
        class="skip-link"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        Skip to content
      </a>
      {!isNarrow && <div class="sidebar-column">{sidebar}</div>}
      <main id="main" class="main" tabIndex={-1}>
        <TopBar
          onMenu={isNarrow ? () => setOpen("menu") : null}
          onModel={() => setOpen("model")}
          onMemory={view === "chat" && hasNoPanel ? () => setOpen("memory") : null}
        />
        {!hasDrawer && <UndoDeletion />}
        <CurrentView view={view} onChooseModel={() => setOpen("model")} />
      </main>
      {view === "chat" && !hasNoPanel && (
        <aside class="panel-column" aria-label="KV cache">
          <h2 class="panel-title">KV cache</h2>
          <CachePanel />
        </aside>
      )}
      {hasDrawer && (
        <Dialog title="TurboQuant" kind="drawer" onClose={close}>
          <UndoDeletion />
          {sidebar}
        </Dialog>
      )}
      {open === "memory" && hasNoPanel && (
        <Dialog title="KV cache" kind="sheet" onClose={close}>
          <CachePanel />
        </Dialog>
      )}
      {open === "model" && <ModelDialog onClose={close} />}
      {open === "settings" && <SettingsDialog onClose={close} />}
    </div>
  );
}
