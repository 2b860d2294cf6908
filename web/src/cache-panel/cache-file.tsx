/** @file Saves the cache as a file and opens such files: packed pages and tokens, in the format of `turboquant chat`. */
import { useState } from "preact/hooks";
import { chatStore } from "../chat/chat-store.ts";
import { engineStore, plainError, tabEngine } from "../engine/engine-store.ts";
import { download } from "../ui/download.ts";
import { FileButton } from "../ui/file-button.tsx";
import { formatBytes } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { restoreCacheFile } from "./restore-file.ts";

const EXTENSION = ".tqkv";
const fileName = (title: string): string =>
  title
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40) || "cache";

interface Message {
  /** The conversation that was saved, restored, or shown when that failed: it is nobody else's. */
  readonly of: string;
  readonly text: string;
  readonly isBad: boolean;
}

export function CacheFile() {
  const { status, cache } = useStore(engineStore);
  const { current, isAnswering } = useStore(chatStore);
  const [message, setMessage] = useState<Message | null>(null);
  const isBusy = status !== "ready" || isAnswering;

  const attempt = async (work: () => Promise<Omit<Message, "isBad">>): Promise<void> => {
    try {
      setMessage({ ...(await work()), isBad: false });
    } catch (error) {
      setMessage({ of: current.id, text: plainError(error).message, isBad: true });
    }
  };
  const saveCache = async () => {
    const bytes = await tabEngine()!.save(current.id);
    download(new Blob([bytes as BlobPart], { type: "application/octet-stream" }), fileName(current.title) + EXTENSION);
    return { of: current.id, text: `Saved, ${formatBytes(bytes.length)}. It goes on with the same model and format.` };
  };
  const restoreCache = async (file: File) => {
    const { id, tokens } = await restoreCacheFile(file);
    return { of: id, text: `Restored ${tokens} tokens; nothing had to be computed again.` };
  };

  return (
    <div class="cache-file">
      <div class="row">
        <button type="button" class="button" disabled={isBusy || !cache} onClick={() => void attempt(saveCache)}>
          <Icon name="save" />
          Save cache
        </button>
        <FileButton
          class="button"
          isDisabled={isBusy}
          inputLabel="A saved cache"
          picks="file"
          accept={EXTENSION}
          onFiles={([file]) => void attempt(() => restoreCache(file!))}
        >
          <Icon name="restore" />
          Restore
        </FileButton>
      </div>
      {message?.of === current.id && (
        <p class={message.isBad ? "problem" : "hint"} role="status">
          {message.text}
        </p>
      )}
    </div>
  );
}
