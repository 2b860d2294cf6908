/** @file A row for each format: its bytes as a bar beside the memory, and the longest context that fits. */
import type { MemoryPlan, PlannedFormat } from "turboquant/plan";
import { formatBytes, formatCount } from "../ui/format.ts";

export function PlanTable({ plan }: { readonly plan: MemoryPlan }) {
  const { formats, memoryBytes, weights, best } = plan;
  const widest = Math.max(memoryBytes, ...formats.map(({ totalBytes }) => totalBytes));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, and keys must be able to
    <section class="table-scroll plan-table" tabIndex={0} aria-label="Formats">
      <table>
        <thead>
          <tr>
            <th scope="col">Format</th>
            <th scope="col">Bits a value</th>
            <th scope="col">Cache</th>
            <th scope="col" class="plan-bar-head">
              <span class="swatch segment-window" /> weights <span class="swatch segment-codes" /> cache{" "}
              <span class="plan-limit-mark" /> {formatBytes(memoryBytes)}
            </th>
            <th scope="col">Left</th>
            <th scope="col">Longest context</th>
            <th scope="col">Sequences</th>
          </tr>
        </thead>
        <tbody>
          {formats.map((format) => (
            <tr
              key={format.kv}
              class={format.fits ? undefined : "too-large"}
              aria-current={format === best || undefined}
            >
              <th scope="row">{format.kv}</th>
              <td class="number">{format.bitsPerValue.toFixed(2)}</td>
              <td class="number">{formatBytes(format.cacheBytes)}</td>
              <td>
                <Bar format={format} weightBytes={weights.bytes} memoryBytes={memoryBytes} widest={widest} />
              </td>
              <td class="number">{format.fits ? formatBytes(format.freeBytes) : "does not fit"}</td>
              <td class="number">{formatCount(format.longestContext)}</td>
              <td class="number">{formatCount(format.mostSequences)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface BarProps {
  readonly format: PlannedFormat;
  readonly weightBytes: number;
  readonly memoryBytes: number;
  readonly widest: number;
}

const [WIDTH, HEIGHT] = [240, 14];

/** Weights, cache pages and everything else as one bar, with a line where the memory ends. */
function Bar({ format, weightBytes, memoryBytes, widest }: BarProps) {
  const scale = WIDTH / widest;
  const [weights, held, total, end] = [weightBytes, format.heldBytes, format.totalBytes, memoryBytes].map(
    (bytes) => bytes * scale,
  ) as [number, number, number, number];
  return (
    <svg class="plan-bar" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <rect class="bar-f16" x={0} y={0} width={end} height={HEIGHT} />
      <rect class="segment-window" x={0} y={0} width={weights} height={HEIGHT} />
      <rect class="segment-codes" x={weights} y={0} width={held} height={HEIGHT} />
      <rect
        class="segment-sinks"
        x={weights + held}
        y={0}
        width={Math.max(0, total - weights - held)}
        height={HEIGHT}
      />
      <line class="plan-limit" x1={end - 0.75} x2={end - 0.75} y1={0} y2={HEIGHT} />
    </svg>
  );
}
