/** @file The gated feed-forward block of Llama and most later models: down(silu(gate·x) ⊙ up·x) (Shazeer, arXiv 2002.05202). */
import { type Block, stackedMatrix } from "./block.ts";

/** prefix: beginning of the tensors' names, e.g. `model.layers.0.mlp.` · intermediateSize: rows of gate and of up */
export function denseFeedForward(prefix: string, hiddenSize: number, intermediateSize: number): Block {
  return {
    weights: {
      gateUp: stackedMatrix(hiddenSize, [
        [`${prefix}gate_proj.weight`, intermediateSize],
        [`${prefix}up_proj.weight`, intermediateSize],
      ]),
      down: stackedMatrix(intermediateSize, [[`${prefix}down_proj.weight`, hiddenSize]]),
    },
    scratch: { gateUp: 2 * intermediateSize, activated: intermediateSize },
    state: null,
    bind: ({ gateUp, down }) => ({
      run: ({ ops, rows, scratch }, x, out) => {
        const [both, activated] = [scratch("gateUp"), scratch("activated")];
        if (!ops.gatedLinear?.(x, gateUp!, rows, activated)) {
          ops.linear(x, gateUp!, null, rows, both, false);
          ops.swiglu(both, rows, intermediateSize, activated);
        }
        ops.linear(activated, down!, null, rows, out, true);
      },
    }),
  };
}
