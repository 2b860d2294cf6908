/** @file The operations of `Ops` about experts, over one memory: which kernels they are made of, in which order, in which buffers. */
import { assert } from "../../errors.ts";
import {
  type ExpertHeadScratch,
  type ExpertHeads,
  type ExpertScratch,
  type Experts,
  hiddenOf,
  type Router,
} from "../experts.ts";
import type { Buf, Weight } from "../ops.ts";
import { RouteScratch, routeToken } from "../route.ts";
import type { ElementwiseKernels } from "./elementwise.ts";
import { ExpertKernels } from "./experts.ts";
import type { WasmMemory } from "./memory.ts";
import type { ThreadPool } from "./thread-pool.ts";
import { addressIn } from "./wasm-buf.ts";
import { asWasmWeight, vectorOf } from "./wasm-weight.ts";

export class ExpertOperations {
  readonly #memory: WasmMemory;
  readonly #kernels: ExpertKernels;
  readonly #elementwise: ElementwiseKernels;
  readonly #scratch = new RouteScratch();

  constructor(memory: WasmMemory, pool: ThreadPool, elementwise: ElementwiseKernels) {
    this.#memory = memory;
    this.#kernels = new ExpertKernels(memory, pool);
    this.#elementwise = elementwise;
  }

  route(logits: Buf, router: Router, rows: number, routes: Buf): void {
    const from = addressIn(this.#memory, logits, rows * router.stride, "route");
    const [bias, expertScales] = [router.bias, router.expertScales].map((vector) =>
      vector ? vectorOf(vector, "route").address : 0,
    );
    const vectors = { bias: bias!, expertScales: expertScales! };
    this.#kernels.route(from, router, vectors, rows, addressIn(this.#memory, routes, rows * 2 * router.topK, "route"));
  }

  /** experts: see `Ops.routeTokens` */
  routeTokens(tokens: Int32Array, logits: Buf, router: Router, experts: Weight, routes: Buf): void {
    const { stride, topK } = router;
    const { f32 } = this.#memory;
    const from = addressIn(this.#memory, logits, tokens.length * stride, "routeTokens") / 4;
    const to = addressIn(this.#memory, routes, tokens.length * 2 * topK, "routeTokens") / 4;
    const table = vectorOf(experts, "routeTokens").address / 4;
    for (let r = 0; r < tokens.length; r++) {
      const first = table + tokens[r]! * topK;
      routeToken(router, f32, from + r * stride, f32, first, f32, to + r * 2 * topK, this.#scratch);
    }
  }

  experts(x: Buf, routes: Buf, of: Experts, rows: number, scratch: ExpertScratch, out: Buf, add: boolean): void {
    assert(x !== out, "experts: the output is the input");
    const { numExperts, topK, width, activation, scalesInput } = of;
    const [gateUp, down] = [asWasmWeight(of.gateUp), asWasmWeight(of.down)];
    const count = rows * topK;
    const [height, outputs] = [hiddenOf(of), down.rows / numExperts];
    const from = addressIn(this.#memory, x, rows * gateUp.cols, "experts");
    const chosen = addressIn(this.#memory, routes, rows * 2 * topK, "experts");
    const hidden = addressIn(this.#memory, scratch.hidden, count * height, "experts");
    const activated = addressIn(this.#memory, scratch.activated, count * width, "experts");
    const output = addressIn(this.#memory, scratch.output, count * Math.max(gateUp.cols, outputs), "experts");
    const to = addressIn(this.#memory, out, rows * outputs, "experts");
    const kernels = this.#kernels;
    kernels.sort(chosen, rows, topK, numExperts);
    const isShared = rows === 1 && !scalesInput;
    if (!isShared) kernels.gather(from, gateUp.cols, topK, output, scalesInput ? chosen : 0);
    const bias = of.gateUpBias ? vectorOf(of.gateUpBias, "experts").address : 0;
    kernels.multiply(isShared ? from : output, isShared, gateUp, height, bias, hidden);
    if (activation.kind === "silu" && activation.isGated && !activation.clamp) {
      this.#elementwise.swiglu(scratch.hidden, count, width, scratch.activated);
    } else this.#elementwise.activate(scratch.hidden, activation, count, width, scratch.activated);
    const downBias = of.downBias ? vectorOf(of.downBias, "experts").address : 0;
    kernels.multiply(activated, false, down, outputs, downBias, output);
    if (of.hasIdentities) kernels.pass(from, outputs, topK, output);
    kernels.mix(output, outputs, rows, topK, scalesInput ? 0 : chosen, to, add);
  }

  multiplyExperts(
    x: Buf,
    routes: Buf,
    heads: ExpertHeads,
    rows: number,
    scratch: ExpertHeadScratch,
    out: Buf,
    add: boolean,
  ): void {
    const { numExperts, topK, columns, gathers } = heads;
    const weight = asWasmWeight(heads.weight);
    const outputs = weight.rows / numExperts;
    const from = addressIn(this.#memory, x, rows * (gathers ? columns.stride : weight.cols), "multiplyExperts");
    const chosen = addressIn(this.#memory, routes, rows * 2 * topK, "multiplyExperts");
    const input = addressIn(this.#memory, scratch.input, rows * topK * weight.cols, "multiplyExperts");
    const output = addressIn(this.#memory, scratch.output, rows * topK * outputs, "multiplyExperts");
    const to = addressIn(this.#memory, out, rows * (gathers ? outputs : columns.stride), "multiplyExperts");
    const bias = heads.bias ? vectorOf(heads.bias, "multiplyExperts").address : 0;
    const kernels = this.#kernels;
    kernels.sort(chosen, rows, topK, numExperts);
    const isShared = rows === 1 && !gathers;
    if (gathers) kernels.copyHeads(from, heads, input, weight.cols, true);
    else if (!isShared) kernels.gather(from, weight.cols, topK, input, 0);
    kernels.multiply(isShared ? from : input, isShared, weight, outputs, bias, output);
    if (gathers) kernels.mix(output, outputs, rows, topK, chosen, to, add);
    else kernels.copyHeads(to, heads, output, outputs, false);
  }
}
