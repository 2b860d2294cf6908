/** @file Takes files that are dropped anywhere on the page: a model is loaded, a saved cache restored, a document goes with the next message. */
import { useEffect } from "preact/hooks";
import { restoreCacheFile } from "../cache-panel/restore-file.ts";
import { chatStore } from "../chat/chat-store.ts";
import { draftOf } from "../chat/drafts.ts";
import { attachFiles } from "../documents/documents-store.ts";
import { DEFAULT_KV } from "../engine/engine-choice.ts";
import { engineStore, loadEngine, reportProblem } from "../engine/engine-store.ts";
import { linkTo } from "../ui/route.ts";
import { droppedFiles, hasFiles } from "./dropped-files.ts";
import { type PickedFile, readPicked } from "./folder.ts";
import { kindOfDrop } from "./kind-of-drop.ts";

async function take(transfer: DataTransfer): Promise<void> {
  const files = await droppedFiles(transfer);
  const kind = kindOfDrop(files);
  if (kind === "model") {
    await loadModel(files);
    return;
  }
  location.hash = linkTo("chat");
  if (kind === "cache") await restoreCacheFile(files[0]!.file).catch((error: unknown) => reportProblem(String(error)));
  else
    await attachFiles(
      draftOf(chatStore.get().current),
      files.map(({ file }) => file),
    );
}

async function loadModel(files: readonly PickedFile<File>[]): Promise<void> {
  const picked = readPicked(files);
  if ("problem" in picked) {
    reportProblem(picked.problem);
    return;
  }
  const { choice } = engineStore.get();
  const settings = choice?.where === "tab" ? choice : ({ kv: DEFAULT_KV, backend: "auto", weights: "auto" } as const);
  await loadEngine({ ...settings, where: "tab", model: picked });
}

/** Without it the browser would open a dropped file in the place of the page. onDrop: is told before the files are looked at */
export function useDroppedFiles(onDrop: () => void): void {
  useEffect(() => {
    const mark = (isOver: boolean): void => {
      document.documentElement.toggleAttribute("data-dropping", isOver);
    };
    const over = (event: DragEvent): void => {
      if (!hasFiles(event.dataTransfer)) return;
      event.preventDefault();
      mark(true);
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) mark(false);
    };
    const drop = (event: DragEvent): void => {
      mark(false);
      if (!hasFiles(event.dataTransfer)) return;
      event.preventDefault();
      onDrop();
      take(event.dataTransfer!).catch((error: unknown) => reportProblem(String(error)));
    };
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", leave);
    document.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("dragover", over);
      document.removeEventListener("dragleave", leave);
      document.removeEventListener("drop", drop);
    };
  }, [onDrop]);
}
