/** @file Renders the page, then opens conversations and the engine. */
import "./styles/index.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { followAddress } from "./chat/address.ts";
import { openChats } from "./chat/chat-store.ts";
import { watchLength } from "./documents/watch-length.ts";
import { firstChoice, listOffered } from "./engine/engine-choice.ts";
import { loadFirst } from "./engine/engine-store.ts";
import { watchCache } from "./kept/watch-cache.ts";
import { modelsStore, serverModelStore } from "./models/models-store.ts";
import { followTitle } from "./page-title.ts";
import { findReport } from "./report/report-store.ts";
import { registerServiceWorker } from "./sw/register.ts";
import { followTheme } from "./ui/theme.tsx";

render(<App />, document.getElementById("app")!);
registerServiceWorker();
watchLength();
watchCache();
void openChats().then(followAddress);
followTitle();
followTheme();
void (async () => {
  await loadFirst(async () => {
    const { models, serverModel } = await listOffered();
    modelsStore.set(models);
    serverModelStore.set(serverModel);
    return firstChoice(models);
  });
  await findReport();
})();
