/** @file Loads a model whose files were dropped anywhere on the page. */
import { useEffect } from "preact/hooks";
import { DEFAULT_KV } from "../engine/engine-choice.ts";
import { engineStore, loadEngine, reportProblem } from "../engine/engine-store.ts";
import { droppedFiles, hasFiles } from "./dropped-files.ts";
import { readPicked } from "./folder.ts";

async function load(transfer: DataTransfer): Promise<void> {
  const picked = readPicked(await droppedFiles(transfer));
  if ("problem" in picked) {
    reportProblem(picked.problem);
    return;
  }
  const { choice } = engineStore.get();
  const settings = choice?.where === "tab" ? choice : ({ kv: DEFAULT_KV, backend: "auto", weights: "auto" } as const);
  await loadEngine({ ...settings, where: "tab", model: picked });
}

/** Without it the browser would open a dropped file in the place of the page. onDrop: is told before the files are looked at */
export function useDroppedModel(onDrop: () => void): void {
  useEffect(() => {
    const over = (event: DragEvent): void => {
      if (hasFiles(event.dataTransfer)) event.preventDefault();
    };
    const drop = (event: DragEvent): void => {
      if (!hasFiles(event.dataTransfer)) return;
      event.preventDefault();
      onDrop();
      load(event.dataTransfer!).catch((error: unknown) => reportProblem(String(error)));
    };
    document.addEventListener("dragover", over);
    document.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("dragover", over);
      document.removeEventListener("drop", drop);
    };
  }, [onDrop]);
}
