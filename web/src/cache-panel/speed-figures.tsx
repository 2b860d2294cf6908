/** @file Tokens per second, at present and over the whole answer. */
import { speedStore } from "../chat/speed.ts";
import { formatRate, formatSeconds } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";

const [WIDTH, HEIGHT] = [300, 36];

export function SpeedFigures() {
  const { history, tokPerSec, prefillTokPerSec, ttftMs } = useStore(speedStore);
  return (
    <div class="speed">
      <p class="label-row">
        <span class="label">Speed</span>
        <span class="number">
          {formatRate(tokPerSec)} <span class="faint">tok/s</span>
        </span>
      </p>
      {history.length > 1 && <Sparkline values={history} />}
      {(prefillTokPerSec > 0 || ttftMs > 0) && (
        <p class="hint">
          {prefillTokPerSec > 0 && `prompt ${formatRate(prefillTokPerSec)} tok/s, `}first token after{" "}
          {formatSeconds(ttftMs)}
        </p>
      )}
    </div>
  );
}

/** The axis starts at zero, so that a small change looks small. */
function Sparkline({ values }: { readonly values: readonly number[] }) {
  const highest = Math.max(...values);
  const x = (i: number): number => (i * WIDTH) / (values.length - 1);
  const y = (value: number): number => HEIGHT - 1 - (value / highest) * (HEIGHT - 4);
  const line = values.map((value, i) => `${i === 0 ? "M" : "L"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return (
    <svg class="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="sparkline-area" d={`${line}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`} />
      <path class="sparkline-line" d={line} />
    </svg>
  );
}
