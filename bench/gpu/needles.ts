/**
 * @file Tokens that one query finds among many in the codes: their weight, on the GPU and by the reference from the same bytes, which
 * sums in f64. Keys are not turned, so that a needle is as near at any depth.
 */
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { createWebGpuBackend } from "../../src/backends/webgpu/backend.ts";
import { FILL_ROWS, fillStep, plainAttentionLayer, RandomKv } from "../../src/bench/random-kv.ts";
import { restoreSequence, saveSequence } from "../../src/cache/snapshot.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";

const HEADS = { numHeads: 4, numKvHeads: 1, headDim: 128 };
/** Where the needles lie, as shares of the context. */
const DEPTHS = [0.001, 0.25, 0.5, 0.75, 0.98];
/** A needle's key is its query times this: among a million random keys its weight is then neither 0 nor 1. */
const SHARPNESS = 1.4;
/** How much longer a needle's value is than the others, whose mean it must stand out of. */
const LOUDNESS = 30;
const STREAM_NEEDLES = 0x9eed;

interface Needle {
  /** Rows q | k | v: of the token to be found, and of the one that asks, whose own key and value are like any other's. */
  readonly planted: Float32Array;
  readonly asking: Float32Array;
  readonly value: Float32Array;
}

/** The query of a needle is the same for all heads. */
function makeNeedle(index: number): Needle {
  const { numHeads, headDim } = HEADS;
  const rng = new CounterRng(1 + index, STREAM_NEEDLES);
  const rowOf = (): Float32Array => new Float32Array((numHeads + 2) * headDim);
  const [planted, asking] = [rowOf(), rowOf()];
  const query = Float32Array.from({ length: headDim }, (_, i) => rng.gaussian(i));
  const value = Float32Array.from({ length: headDim }, (_, i) => LOUDNESS * rng.gaussian(headDim + i));
  for (let head = 0; head < numHeads; head++) asking.set(query, head * headDim);
  for (let i = 0; i < 2 * headDim; i++) asking[numHeads * headDim + i] = rng.gaussian(2 * headDim + i);
  for (let i = 0; i < headDim; i++) planted[numHeads * headDim + i] = SHARPNESS * query[i]!;
  planted.set(value, (numHeads + 1) * headDim);
  return { planted, asking, value };
}

/** The share of a needle's value in the output of the first head. */
function weightOf(output: Float32Array, { value }: Needle): number {
  let [along, square] = [0, 0];
  for (const [i, x] of value.entries()) {
    along += output[i]! * x;
    square += x * x;
  }
  return along / square;
}

export async function* findNeedles(contexts: readonly number[], kv: readonly string[]): AsyncGenerator<object> {
  const needles = DEPTHS.map((_, index) => makeNeedle(index));
  const rows = [...needles.map(({ planted }) => planted), ...needles.map(({ asking }) => asking)];
  const config = { ...shapeConfig("qwen3-0.6b"), ...HEADS, rope: { type: "none" } as const };
  for (const context of contexts) {
    for (const spec of kv) {
      const format = parseKvSpec(spec);
      const [gpu, reference] = [await createWebGpuBackend({}), createReferenceBackend()];
      try {
        const identity = { fingerprint: "needles", kvSpec: spec };
        const [layer, wantedLayer] = [plainAttentionLayer(config, format, 0), plainAttentionLayer(config, format, 0)];
        const places = new Map(DEPTHS.map((share, needle) => [Math.floor(share * context), FILL_ROWS + needle]));
        const random = new RandomKv(gpu, config, FILL_ROWS, rows);
        const sequence = random.createCache(format, 1).createSequence();
        while (sequence.length < context) {
          const count = Math.min(FILL_ROWS, context - sequence.length);
          sequence.reserve(count);
          const step = fillStep(sequence, sequence.length, count);
          for (const [row, position] of step.positions.entries())
            step.tokens[row] = places.get(position) ?? step.tokens[row]!;
          random.append(step, layer);
          sequence.commit(count);
        }
        const wanted = new RandomKv(reference, config, 1, rows);
        const copy = restoreSequence(
          wanted.createCache(format, 1),
          await saveSequence(sequence, identity),
          identity,
        ).sequence;
        const outLength = HEADS.numHeads * HEADS.headDim;
        for (const [index, depth] of DEPTHS.entries()) {
          const outputs: Float32Array[] = [];
          for (const [own, s, ownLayer] of [
            [random, sequence, layer],
            [wanted, copy, wantedLayer],
          ] as const) {
            s.reserve(1);
            const step = fillStep(s, context, 1);
            step.tokens[0] = FILL_ROWS + DEPTHS.length + index;
            own.append(step, ownLayer);
            own.ops.attend(step, ownLayer, own.query, own.attended);
            outputs.push(await own.ops.readback(own.attended, outLength));
          }
          const weights = needles.map((needle) => Math.abs(weightOf(outputs[0]!, needle)));
          const isFound = weights.indexOf(Math.max(...weights)) === index;
          const [weight, weightByReference] = outputs.map((output) => weightOf(output, needles[index]!));
          yield { kind: "needle", kv: spec, context, depth, isFound, weight, weightByReference };
        }
      } finally {
        await gpu.dispose();
        await reference.dispose();
      }
    }
  }
}
