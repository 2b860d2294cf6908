/** @file Shows the progress of loading a model. */
import { cancelLoading, engineStore } from "../engine/engine-store.ts";
import type { LoadProgress } from "../engine/protocol.ts";
import { formatBytes } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";

export function LoadStatus() {
  const { status, progress, plan } = useStore(engineStore);
  if (status !== "loading" && status !== "lost") return null;
  const share = progress && progress.total > 0 ? progress.done / progress.total : 0;
  const text = progress ? textOf(progress) : "Starting the engine";
  return (
    <div class="load-status">
      {plan && (
        <p class="load-plan">
          <strong>{plan.name}</strong>: weights {formatBytes(plan.weightBytes)}, {plan.kv} cache up to{" "}
          {formatBytes(plan.cacheBytes)} for {plan.context.toLocaleString("en")} tokens
        </p>
      )}
      <p>{text}</p>
      <progress value={share} max={1} aria-label={text} />
      <button type="button" class="link-button" onClick={cancelLoading}>
        Cancel
      </button>
    </div>
  );
}

function textOf({ phase, done, total }: LoadProgress): string {
  switch (phase) {
    case "download":
      return `Fetching the model, ${formatBytes(done)} of ${formatBytes(total)}`;
    case "load":
      return `Loading weights, ${formatBytes(done)} of ${formatBytes(total)}`;
    case "compile":
      return `Compiling GPU kernels, ${done} of ${total}`;
  }
}
