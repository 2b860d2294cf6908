/** @file Shows the progress of loading a model. */
import { cancelLoading, type EngineState, engineStore } from "../engine/engine-store.ts";
import { formatBytes, formatCount, formatPace } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";

export function LoadStatus() {
  const { status, progress, progressSince, plan } = useStore(engineStore);
  if (status !== "loading" && status !== "lost") return null;
  const share = progress && progress.total > 0 ? progress.done / progress.total : 0;
  const text = progress ? textOf(progress) : "Starting the engine";
  const pace = progress && progressSince && paceOf(progress, progressSince);
  return (
    <div class="load-status">
      {plan && (
        <p class="load-plan">
          <strong>{plan.name}</strong>: weights {formatBytes(plan.weightBytes)}, {plan.kv} cache up to{" "}
          {formatBytes(plan.cacheBytes)} for {formatCount(plan.context)} tokens
        </p>
      )}
      <p class="number">
        {text}
        {pace}
      </p>
      <progress value={share} max={1} aria-label={text} />
      <button type="button" class="link-button" onClick={cancelLoading}>
        Cancel
      </button>
    </div>
  );
}

type Progress = NonNullable<EngineState["progress"]>;
type Since = NonNullable<EngineState["progressSince"]>;

/** Kernels take each a time of its own. */
const paceOf = ({ phase, done, total }: Progress, since: Since): string =>
  phase === "compile" ? "" : formatPace(done, total, { ms: performance.now() - since.at, done: since.done });

function textOf({ phase, done, total }: Progress): string {
  switch (phase) {
    case "download":
      return `Fetching the model, ${formatBytes(done)} of ${formatBytes(total)}`;
    case "load":
      return `Loading weights, ${formatBytes(done)} of ${formatBytes(total)}`;
    case "compile":
      return `Compiling GPU kernels, ${done} of ${total}`;
  }
}
