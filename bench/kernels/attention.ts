/**
 * @file Speed of the attention kernels on one thread: `npx tsx bench/kernels/attention.ts`.
 *
 * Attention of qwen3-0.6b's shape (16 query and 8 KV heads of 128) over random bytes; the sizes pass the caches. Figures
 * are ns for a key of one KV head, K and V together, the fastest and the median of many runs: other work only slows them.
 */
import { isFloat } from "../../src/quant/codecs/registry.ts";
import { AttentionFixture } from "../../test/support/wasm-attention.ts";
import { readCommandLine } from "../../tools/command-line.ts";

const NUM_KV_HEADS = 8;
const PREFILL_ROWS = 128;

const { values } = readCommandLine({
  options: {
    depths: { type: "string", default: "4096,16384" },
    kv: { type: "string", default: "tq4/tq4,tq8/tq4,tq5/tq4,tq3/tq3,f16/f16" },
    group: { type: "string", default: "2" },
    "head-dim": { type: "string", default: "128" },
    seconds: { type: "string", default: "1" },
  },
});

/** Random codes; f16 and scales of about one. */
function fill(fixture: AttentionFixture): void {
  const { layout, numPages, pages, view, f32, query, out } = fixture;
  let state = 1;
  for (let at = pages; at < pages + numPages * layout.numBytes; at += 2) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const bits = state >>> 16;
    view.setUint16(at, isFloat(layout.k.side) ? (bits & 0x87ff) | 0x3800 : bits, true);
  }
  for (let page = 0; page < numPages; page++) {
    for (const side of [layout.k, layout.v]) {
      for (const { offset, headStride } of side.scales) {
        const at = pages + page * layout.numBytes + offset;
        const numScales = (NUM_KV_HEADS * headStride) / 2;
        for (let i = 0; i < numScales; i++) view.setUint16(at + 2 * i, 0x3c00 + (i & 255), true);
      }
    }
  }
  for (let i = query / 4; i < out / 4; i++) f32[i] = Math.sin(i) * 0.2;
}

/** Fastest and median of the runs that fit the time, in milliseconds. */
function time(run: () => void): { min: number; median: number } {
  const budget = Number(values.seconds) * 1000;
  for (const end = performance.now() + budget / 2; performance.now() < end; ) run();
  const times: number[] = [];
  for (const end = performance.now() + budget; performance.now() < end || times.length < 5; ) {
    const start = performance.now();
    run();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return { min: times[0]!, median: times[times.length >> 1]! };
}

for (const tokens of values.depths.split(",").map(Number)) {
  const first: Record<string, number> = {};
  for (const kv of values.kv.split(",")) {
    const [k, v] = kv.split("/") as [string, string];
    const shape = {
      k,
      v,
      headDim: Number(values["head-dim"]),
      numKvHeads: NUM_KV_HEADS,
      group: Number(values.group),
      tokens,
    };
    const fixture = await AttentionFixture.create(shape, PREFILL_ROWS);
    fill(fixture);
    for (const [name, rows, run] of [
      ["decode", 1, () => fixture.decode()],
      ["prefill", PREFILL_ROWS, () => fixture.prefill(PREFILL_ROWS)],
    ] as const) {
      const { min, median } = time(run);
      const perKey = 1e6 / (tokens * NUM_KV_HEADS * rows);
      first[name] ??= min;
      const perThousand = name === "decode" ? `, ${((min * 1024) / tokens).toFixed(3)} ms a layer and 1K` : "";
      console.log(
        `${name} ${kv} at ${tokens}: ${(min * perKey).toFixed(1)} ns a key (median ${(median * perKey).toFixed(1)}), ` +
          `${(min / first[name]!).toFixed(2)} of the first${perThousand}`,
      );
    }
  }
}
