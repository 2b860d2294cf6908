/** @file Saves the cache as a file and opens such files: packed pages and tokens, in the format of `turboquant chat`. */
import { useRef, useState } from "preact/hooks";
import { chatStore } from "../chat/chat-store.ts";
import { engineStore, plainError, tabEngine } from "../engine/engine-store.ts";
import { download } from "../ui/download.ts";
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

export function CacheFile() {
  const { status, cache } = useStore(engineStore);
  const { current, isAnswering } = useStore(chatStore);
  const [message, setMessage] = useState<{ readonly text: string; readonly isBad: boolean } | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const isBusy = status !== "ready" || isAnswering;

  const attempt = async (work: () => Promise<string>): Promise<void> => {
    try {
      setMessage({ text: await work(), isBad: false });
    } catch (error) {
      setMessage({ text: plainError(error).message, isBad: true });
    }
  };
  const saveCache = async (): Promise<string> => {
    const bytes = await tabEngine()!.save(current.id);
    download(new Blob([bytes as BlobPart], { type: "application/octet-stream" }), fileName(current.title) + EXTENSION);
    return `Saved, ${formatBytes(bytes.length)}. It goes on with the same model and format.`;
  };
  const restoreCache = async (file: File): Promise<string> => {
    const { tokens } = await restoreCacheFile(file);
    return `Restored ${tokens} tokens; nothing had to be computed again.`;
  };

  return (
    <div class="cache-file">
      <div class="row">
        <button type="button" class="button" disabled={isBusy || !cache} onClick={() => void attempt(saveCache)}>
          <Icon name="save" />
          Save cache
        </button>
        <button type="button" class="button" disabled={isBusy} onClick={() => input.current?.click()}>
          <Icon name="restore" />
          Restore
        </button>
        <input
          ref={input}
          type="file"
          accept={EXTENSION}
          class="visually-hidden"
          tabIndex={-1}
          aria-label="A saved cache"
          onChange={({ currentTarget }) => {
            const file = currentTarget.files?.[0];
            currentTarget.value = "";
            if (file) void attempt(() => restoreCache(file));
          }}
        />
      </div>
      {message && (
        <p class={message.isBad ? "problem" : "hint"} role="status">
          {message.text}
        </p>
      )}
    </div>
  );
}
