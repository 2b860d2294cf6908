/**
 * @file A block that nobody needs, to show what a block takes: out += gain ⊙ (mean of all inputs so far), with the mean as the
 * layer's state. It runs on the reference backend, whose buffers are plain arrays.
 */
import { HostBuf, type HostWeight } from "../../../src/backends/reference/backend.ts";
import { MemoryPageStorage } from "../../../src/cache/memory-storage.ts";
import type { Block } from "../../../src/models/blocks/block.ts";
import { norm } from "../../../src/models/blocks/block.ts";

export function runningMean(prefix: string, hiddenSize: number): Block {
  return {
    weights: { gain: norm(`${prefix}gain.weight`, hiddenSize) },
    scratch: {},
    state: { kind: "recurrent", numBytes: 4 * hiddenSize },
    bind: ({ gain }, { stateIndex }) => ({
      run: ({ ops, step }, x, out) => {
        const { pages } = ops;
        if (!(x instanceof HostBuf && out instanceof HostBuf && pages instanceof MemoryPageStorage)) {
          throw new Error("running mean: runs on the reference backend only");
        }
        const gains = (gain as HostWeight).data;
        const valuesAt = (address: number) => {
          const bytes = pages.bytes(address);
          return new Float32Array(bytes.buffer, bytes.byteOffset, hiddenSize);
        };
        for (const { sequence, start, count, row } of step.spans) {
          const state = sequence.recurrent(stateIndex);
          const before = state.at(start);
          const mean = before ? valuesAt(before).slice() : new Float32Array(hiddenSize);
          const targets = new Map(state.targets(start, start + count));
          for (let n = 0; n < count; n++) {
            const at = (row + n) * hiddenSize;
            for (let i = 0; i < hiddenSize; i++) {
              mean[i] = mean[i]! + (x.data[at + i]! - mean[i]!) / (start + n + 1);
              out.data[at + i] = out.data[at + i]! + gains[i]! * mean[i]!;
            }
            const target = targets.get(start + n + 1);
            if (target) valuesAt(target).set(mean);
          }
        }
      },
    }),
  };
}
