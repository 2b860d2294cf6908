/**
 * @file Speed of the append kernel on one thread: `npx tsx bench/kernels/append.ts`.
 *
 * One page of rows, with a calibration and without, run by run in turn, so that other work on the machine meets both alike.
 * Figures are µs for a row of one KV head: K, V and the queries of its group. Every append has other rows, as no branch of
 * real ones can be learnt; constants stay in the caches as far as they fit.
 */
import { compileKernels } from "../../src/backends/wasm/load-kernels.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { randomCalibration } from "../../test/support/calibration.ts";
import { readCommandLine } from "../../tools/command-line.ts";
import { AppendFixture } from "./append-fixture.ts";

const DIFFERENT_ROWS = 1024;

const { values } = readCommandLine({
  options: {
    rows: { type: "string", default: "1,8,64" },
    "head-dim": { type: "string", default: "64,128" },
    "kv-heads": { type: "string", default: "2" },
    group: { type: "string", default: "2" },
    kv: { type: "string", default: "k4v4" },
    seconds: { type: "string", default: "1" },
  },
});

const numKvHeads = Number(values["kv-heads"]);
const group = Number(values.group);
const module = await compileKernels("strict", true);

for (const headDim of values["head-dim"].split(",").map(Number)) {
  const calibration = randomCalibration(numKvHeads, headDim);
  for (const rows of values.rows.split(",").map(Number)) {
    const format = parseKvSpec(values.kv).forLayer(0);
    const fixtures = [null, calibration].map(
      (own) => new AppendFixture(module, { format, headDim, numKvHeads, group, rows, calibration: own }),
    );
    const rng = new CounterRng(1, headDim);
    const length = rows * numKvHeads * (group + 2) * headDim;
    const inputs = Array.from({ length: Math.ceil(DIFFERENT_ROWS / rows) }, (_, set) =>
      Float32Array.from({ length }, (_, i) => rng.gaussian(set * length + i)),
    );
    let drawn = 0;
    const times: number[][] = fixtures.map(() => []);
    const repeats = Math.ceil(64 / rows);
    for (const end = performance.now() + 1000 * Number(values.seconds); performance.now() < end; ) {
      for (const [i, fixture] of fixtures.entries()) {
        const start = performance.now();
        for (let n = 0; n < repeats; n++) {
          fixture.setInputs(inputs[drawn++ % inputs.length]!);
          fixture.run();
        }
        times[i]!.push(((performance.now() - start) * 1000) / (repeats * rows * numKvHeads));
      }
    }
    const [plain, calibrated] = times.map((all) => {
      const sorted = all.sort((a, b) => a - b);
      return { min: sorted[0]!, median: sorted[sorted.length >> 1]! };
    });
    console.log(
      `${values.kv}, head_dim ${headDim}, group ${group}, ${rows} rows: plain ${plain!.min.toFixed(2)} µs (median ${plain!.median.toFixed(2)}), ` +
        `calibrated ${calibrated!.min.toFixed(2)} (${calibrated!.median.toFixed(2)}), ${(calibrated!.min / plain!.min).toFixed(2)}×`,
    );
  }
}
