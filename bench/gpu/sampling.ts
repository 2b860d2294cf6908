/**
 * @file Time to choose a token on the device, as JSON rows: `npx tsx bench/gpu/sampling.ts`.
 *
 * `us` is one choice (two dispatches) between the timestamps around its compute pass; `roundTripUs` is the host's wait from
 * the call to the token, with nothing else queued.
 */
import "../../src/node/install.ts";
import { openDevice } from "../../src/backends/webgpu/device/open-device.ts";
import { BufferAllocator, GpuBuf } from "../../src/backends/webgpu/queue/buffers.ts";
import { Commands } from "../../src/backends/webgpu/queue/commands.ts";
import { timePasses } from "../../src/backends/webgpu/queue/pass-times.ts";
import { GpuSampling } from "../../src/backends/webgpu/sampling/gpu-sampler.ts";
import { CounterRng } from "../../src/math/rng.ts";

const ROUNDS = 100;
const WARM_UP = 10;
const VOCABS = [151_936, 32_000, 262_144];
const DRAWS = [
  { what: "argmax", draw: { temperature: 0, topK: 0, topP: 1, minP: 0 } },
  ...[20, 40, 64].map((topK) => ({ what: `top-k ${topK}`, draw: { temperature: 0.7, topK, topP: 0.95, minP: 0 } })),
];

function summary(values: readonly number[]) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Number(sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(2));
  return { median: at(0.5), min: at(0), p90: at(0.9) };
}

for (const without of [[], ["subgroups"]] as const) {
  const context = await openDevice({ without });
  const readTime = context.features.timestamps ? timePasses(context.device) : null;
  const allocator = new BufferAllocator(context);
  const commands = new Commands(context, allocator);
  const sampling = new GpuSampling(commands, allocator);
  const rng = new CounterRng(1, 1);
  for (const vocab of VOCABS) {
    const logits = allocator.allocate(vocab * 4, "logits");
    commands.write(
      logits,
      0,
      Float32Array.from({ length: vocab }, (_, i) => 3 * rng.gaussian(i)),
    );
    for (const { what, draw } of DRAWS) {
      const stream = sampling.createStream(draw, vocab);
      if (!stream) continue;
      const gpuUs: number[] = [];
      const hostUs: number[] = [];
      for (let round = 0; round < WARM_UP + ROUNDS; round++) {
        const started = performance.now();
        await stream.sample(new GpuBuf(logits, vocab), 1, [rng.uniform(round)]);
        const elapsed = performance.now() - started;
        const nanoseconds = (await readTime?.()) ?? Number.NaN;
        if (round < WARM_UP) continue;
        hostUs.push(elapsed * 1000);
        gpuUs.push(nanoseconds / 1000);
      }
      stream.close();
      const row = {
        kind: "sampling",
        what,
        vocab,
        device: context.adapterName,
        subgroups: context.features.subgroups ? context.features.subgroupSize : 0,
        rounds: ROUNDS,
        us: readTime ? summary(gpuUs) : null,
        roundTripUs: summary(hostUs),
      };
      console.log(JSON.stringify(row));
    }
    allocator.free(logits);
  }
  sampling.dispose();
  commands.dispose();
  allocator.dispose();
  context.dispose();
}
