/** @file Shows the cache of the current conversation: its bytes compared with f16, and the speed of generation. */
import { chatStore } from "../chat/chat-store.ts";
import { engineStore } from "../engine/engine-store.ts";
import type { CacheState, ModelInfo } from "../engine/protocol.ts";
import { CacheKept } from "../kept/cache-kept.tsx";
import { formatBytes, formatCount, formatRanges } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";
import { Term } from "../ui/term.tsx";
import { CacheFile } from "./cache-file.tsx";
import { TELLING_TOKENS, wordsOfTokens } from "./format-names.ts";
import { FormatPicker } from "./format-picker.tsx";
import { LayerBars } from "./layer-bars.tsx";
import { coarserBytes } from "./segments.ts";
import { SpeedFigures } from "./speed-figures.tsx";
import { switchStore } from "./switch-format.ts";

export function CachePanel() {
  const { cache, info } = useStore(engineStore);
  if (info?.backendName === "server") return <ServerPanel info={info} cache={cache} />;
  return (
    <div class="panel">
      <Headline cache={cache} info={info} />
      <FormatPicker />
      <SwitchNote />
      {cache && cache.numBytes > 0 && <LayerBars cache={cache} kv={info?.kv ?? ""} />}
      {info && info.kinds.length > 1 && <LayerKinds kinds={info.kinds} />}
      <Calibration />
      <SpeedFigures />
      {info && <Context used={cache?.tokens ?? 0} limit={info.contextLength} />}
      <CacheKept />
      <CacheFile />
      {cache?.shelf && cache.shelf.sessions > 1 && (
        <p class="hint">
          {cache.shelf.sessions} conversations are in memory, {formatBytes(cache.shelf.numBytes)} together.
        </p>
      )}
    </div>
  );
}

/** Which layers keep what, of a model whose layers differ. */
function LayerKinds({ kinds }: { readonly kinds: ModelInfo["kinds"] }) {
  return (
    <dl class="figures-list">
      {kinds.map(({ text, format, layers }) => (
        <div key={`${text} ${format}`}>
          <dt>
            {layers.length === 1 ? "Layer" : "Layers"} {formatRanges(layers)}
          </dt>
          <dd>
            {text}
            {format && <span class="faint"> {format}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

export function Headline({ cache, info }: { readonly cache: CacheState | null; readonly info: ModelInfo | null }) {
  if (!cache || cache.numBytes === 0) return <EmptyHeadline info={info} />;
  const { numBytes, f16Bytes, tokens } = cache;
  const saves = numBytes < f16Bytes;
  return (
    <div class="headline">
      <p class="figure">
        {formatBytes(numBytes)}
        <span class="figure-beside"> for {formatCount(tokens)} tokens</span>
      </p>
      <p class="headline-note">
        {saves ? (
          <>
            <strong class="saving">{(f16Bytes / numBytes).toFixed(2)}× smaller</strong> than <Term name="f16" />, which
            takes {formatBytes(f16Bytes)}
          </>
        ) : (
          <NoSaving cache={cache} savesFrom={info?.savesFrom ?? null} />
        )}
      </p>
      {coarserBytes(cache.layers) > 0 && (
        <p class="hint">{formatBytes(coarserBytes(cache.layers))} of it are older tokens, coded anew in fewer bits.</p>
      )}
    </div>
  );
}

/** Before there is a cache: how far a conversation may go on this device. */
function EmptyHeadline({ info }: { readonly info: ModelInfo | null }) {
  const reach = info?.contextLength ?? 0;
  if (!info || reach === 0) {
    return (
      <p class="headline-note">
        What the model remembers of your conversation, its <Term name="KV cache" />, is shown here.
      </p>
    );
  }
  const f16 = info.reaches.find(({ kv }) => kv === "f16");
  return (
    <div class="headline">
      <p class="figure">
        {formatCount(reach)}
        <span class="figure-beside">
          {" "}
          <Term name="token">tokens</Term> fit, some {formatCount(wordsOfTokens(reach))} words
        </span>
      </p>
      <p class="headline-note">
        What the model remembers of a conversation, its <Term name="KV cache" />, grows with every word.{" "}
        {f16 && f16.tokens < reach && (
          <>
            As <Term name="f16" /> this device holds <strong>{formatCount(f16.tokens)}</strong>.
          </>
        )}
      </p>
    </div>
  );
}

/** What the last change of the format did to this conversation, while it happens and after. */
function SwitchNote() {
  const change = useStore(switchStore);
  const cache = useStore(engineStore, ({ cache }) => cache);
  if (!change) return null;
  const { kv, before, beforeKv, done, isWriting } = change;
  // The cache was deleted since.
  if (!isWriting && !cache) return null;
  return (
    <div class="switch-note" role="status">
      {isWriting ? (
        <>
          <p>
            Writing {formatCount(before.tokens)} tokens anew in {kv}
          </p>
          <progress value={done} max={before.tokens} aria-label={`Written in ${kv}`} />
        </>
      ) : (
        <p>
          {beforeKv} {formatBytes(before.numBytes)} <span aria-hidden="true">→</span>
          <span class="visually-hidden"> is now </span> {kv} <strong>{formatBytes(cache?.numBytes ?? 0)}</strong>
        </p>
      )}
    </div>
  );
}

/** What becomes of the calibration of a model that had none. */
function Calibration() {
  const { calibration } = useStore(engineStore);
  if (calibration === null) return null;
  const text =
    typeof calibration === "string"
      ? calibration
      : `Calibrating the cache to this model: ${formatCount(calibration.done)} of ${formatCount(calibration.total)} tokens`;
  return (
    <p class="hint" role="status">
      {text}
    </p>
  );
}

/** Explains why a short text saves nothing: all its tokens are among the recent ones. */
function NoSaving({ cache, savesFrom }: { readonly cache: CacheState; readonly savesFrom: number | null }) {
  if (cache.numBytes === cache.f16Bytes) return <>As large as f16, which it is.</>;
  return (
    <>
      {cache.tokens < TELLING_TOKENS && "Too short to tell: "}f16 takes {formatBytes(cache.f16Bytes)}. Recent tokens are
      kept more exactly than in codes
      {savesFrom ? `; from ${formatCount(savesFrom)} tokens on this format is smaller.` : "."}
    </>
  );
}

function Context({ used, limit }: { readonly used: number; readonly limit: number }) {
  return (
    <div class="context">
      <p class="label-row">
        <span class="label">
          <Term name="Context" />
        </span>
        <span class="number">
          {formatCount(used)} <span class="faint">of {formatCount(limit)}</span>
        </span>
      </p>
      <meter class="meter" min={0} max={limit} value={used} aria-label="Context in use">
        {used} of {limit} tokens
      </meter>
    </div>
  );
}

/** Our own server reports the cache of an answer; other servers report at most the number of cached tokens. */
function ServerPanel({ info, cache }: { readonly info: ModelInfo; readonly cache: CacheState | null }) {
  const { current } = useStore(chatStore);
  const figures = current.messages.findLast((message) => message.figures)?.figures;
  return (
    <div class="panel">
      {cache && <Headline cache={cache} info={info} />}
      {cache && <LayerBars cache={cache} kv={info.kv} />}
      <p class={cache ? "hint" : "headline-note"}>
        The cache of {info.name} is on the server{info.kv && `, in ${info.kv}`}.{" "}
        {cache
          ? "Pages that it shares with other conversations are counted in full here, once on the whole: "
          : "What an answer takes is shown with it, if the server says; all conversations together: "}
        see <code>/metrics</code>.
      </p>
      {figures && (
        <dl class="figures-list">
          <div>
            <dt>Prompt</dt>
            <dd class="number">{formatCount(figures.promptTokens)} tokens</dd>
          </div>
          <div>
            <dt>Of these cached</dt>
            <dd class="number">{formatCount(figures.cachedTokens)} tokens</dd>
          </div>
        </dl>
      )}
      <SpeedFigures />
      {cache && info.contextLength > 0 && <Context used={cache.tokens} limit={info.contextLength} />}
    </div>
  );
}
