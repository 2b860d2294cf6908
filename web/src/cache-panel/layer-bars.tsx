/** @file A bar for each layer, divided into parts, on the scale of the same layer in f16; and the same as a table. */
import type { CacheState } from "../engine/protocol.ts";
import { formatBytes } from "../ui/format.ts";
import { Term } from "../ui/term.tsx";
import { isTerm } from "../ui/terms.ts";
import { bytesOf, labelOf, SEGMENTS, sumSegments } from "./segments.ts";

interface LayerBarsProps {
  readonly cache: CacheState;
  readonly kv: string;
}

/** Total height in pixels: the fewer layers there are, the taller is each bar. */
const BARS_HEIGHT = 150;
const [MIN_HEIGHT, MAX_HEIGHT] = [3, 16];
const GAP = 3;
const WIDTH = 300;

export function LayerBars({ cache, kv }: LayerBarsProps) {
  const { layers } = cache;
  const widest = Math.max(...layers.map((layer) => Math.max(layer.f16Bytes, bytesOf(layer))));
  const scale = WIDTH / widest;
  const height = Math.max(MIN_HEIGHT, Math.min(MAX_HEIGHT, BARS_HEIGHT / layers.length - GAP));
  const gap = height < 6 ? 1 : GAP;
  const total = layers.length * (height + gap) - gap;
  const sum = sumSegments(layers);
  return (
    <figure class="layers">
      <figcaption class="label-row">
        <span class="label">By layer</span>
        <span class="faint">
          <span class="f16-mark" /> f16
        </span>
      </figcaption>
      <svg
        class="bars"
        viewBox={`0 0 ${WIDTH} ${total}`}
        preserveAspectRatio="none"
        style={{ height: `${total}px` }}
        aria-hidden="true"
      >
        {layers.map((layer, index) => (
          <Bar key={layer.layer} layer={layer} y={index * (height + gap)} height={height} scale={scale} />
        ))}
      </svg>
      <ul class="legend">
        {SEGMENTS.filter((name) => sum[name] > 0).map((name) => (
          <li key={name}>
            <span class={`swatch segment-${name}`} />
            <SegmentTerm label={labelOf(name, kv, layers)} />
            <span class="number">{formatBytes(sum[name])}</span>
          </li>
        ))}
      </ul>
      <LayerTable cache={cache} kv={kv} />
    </figure>
  );
}

/** The name of a part, which can be asked what it means, and its bits. */
function SegmentTerm({ label }: { readonly label: string }) {
  const [name = label, bits] = label.split(", ");
  return (
    <span>
      {isTerm(name) ? <Term name={name} /> : name}
      {bits && `, ${bits}`}
    </span>
  );
}

interface BarProps {
  readonly layer: CacheState["layers"][number];
  readonly y: number;
  readonly height: number;
  readonly scale: number;
}

function Bar({ layer, y, height, scale }: BarProps) {
  let x = 0;
  return (
    <>
      <rect class="bar-f16" x={0} y={y} width={layer.f16Bytes * scale} height={height} />
      {SEGMENTS.map((name) => {
        const width = layer[name] * scale;
        const at = x;
        x += width;
        return width > 0 && <rect key={name} class={`segment-${name}`} x={at} y={y} width={width} height={height} />;
      })}
    </>
  );
}

function LayerTable({ cache, kv }: LayerBarsProps) {
  const sum = sumSegments(cache.layers);
  const columns = SEGMENTS.filter((name) => name !== "state" || sum.state > 0);
  return (
    <details class="layer-table">
      <summary>As a table</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and keys must be able to */}
      <section class="table-scroll" tabIndex={0} aria-label="Bytes by layer">
        <table>
          <thead>
            <tr>
              <th scope="col">Layer</th>
              {columns.map((name) => (
                <th key={name} scope="col">
                  {labelOf(name, kv, []).split(" ")[0]}
                </th>
              ))}
              <th scope="col">All</th>
            </tr>
          </thead>
          <tbody>
            {cache.layers.map((layer) => (
              <tr key={layer.layer}>
                <th scope="row">{layer.layer}</th>
                {columns.map((name) => (
                  <td key={name} class="number">
                    {layer[name] > 0 ? formatBytes(layer[name]) : "–"}
                  </td>
                ))}
                <td class="number">{formatBytes(bytesOf(layer))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}
