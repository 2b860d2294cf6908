/** @file The top bar: the model and where it runs; on small screens also the buttons for the sidebar and the cache panel. */
import { engineStore } from "./engine/engine-store.ts";
import type { ModelInfo } from "./engine/protocol.ts";
import { comparedSize, formatBytes } from "./ui/format.ts";
import { Icon } from "./ui/icon.tsx";
import { useStore } from "./ui/store.ts";

interface TopBarProps {
  /** null when the sidebar is visible. */
  readonly onMenu: (() => void) | null;
  readonly onModel: () => void;
  /** null when the panel is visible or there is nothing to show. */
  readonly onMemory: (() => void) | null;
}

/** The backend in one word; the dialog shows the full description (`wasm, 2 threads, relaxed SIMD`). */
function placeOf({ backendName, backend }: ModelInfo): string {
  if (backendName === "server") return "server";
  if (backendName === "webgpu") return "WebGPU";
  const threads = /(\d+) threads?/.exec(backend)?.[0];
  return threads ? `WASM, ${threads}` : "WASM";
}

export function TopBar({ onMenu, onModel, onMemory }: TopBarProps) {
  const { status, info, plan, cache } = useStore(engineStore);
  return (
    <header class="top-bar">
      {onMenu && (
        <button type="button" class="icon-button" aria-label="Menu" onClick={onMenu}>
          <Icon name="menu" />
        </button>
      )}
      <button type="button" class="model-button" onClick={onModel} aria-haspopup="dialog">
        <span class={`status-dot status-${status}`} />
        <span class="model-name">
          {info?.name ?? (status === "loading" ? (plan?.name ?? "Loading…") : "Choose a model")}
        </span>
        {info && <span class="model-place">{placeOf(info)}</span>}
        <Icon name="chevron" />
      </button>
      {onMemory && (
        <button
          type="button"
          class="memory-button"
          aria-label={`KV cache${cache ? `: ${formatBytes(cache.numBytes)}, ${comparedSize(cache.numBytes, cache.f16Bytes)}` : ""}`}
          aria-haspopup="dialog"
          onClick={onMemory}
        >
          <Icon name="memory" />
          {cache ? (
            <>
              <span class="number">{formatBytes(cache.numBytes)}</span>
              <span class="memory-ratio">{comparedSize(cache.numBytes, cache.f16Bytes)}</span>
            </>
          ) : (
            "KV cache"
          )}
        </button>
      )}
    </header>
  );
}
