/** @file How far a model is loaded. */
import { cancelLoading, engineStore } from "../engine/engine-store.ts";
import { formatBytes } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";

export function LoadStatus() {
  const { status, progress } = useStore(engineStore);
  if (status !== "loading" && status !== "lost") return null;
  const share = progress && progress.total > 0 ? progress.done / progress.total : 0;
  const text = !progress
    ? "Starting the engine"
    : progress.phase === "download"
      ? `Fetching the model, ${formatBytes(progress.done)} of ${formatBytes(progress.total)}`
      : `Loading weights, ${progress.done} of ${progress.total}`;
  return (
    <div class="load-status">
      <p>{text}</p>
      <progress value={share} max={1} aria-label={text} />
      <button type="button" class="link-button" onClick={cancelLoading}>
        Cancel
      </button>
    </div>
  );
}
