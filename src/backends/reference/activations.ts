/** @file The activations of feed-forwards, in f64. */
import type { Activation, ActivationKind } from "../ops.ts";

/** What is made of a gate and what it is multiplied by, or of a value alone. alphas: of xielu; see `Ops.activate` */
export function gatedActivation(
  { kind, isGated, clamp }: Pick<Activation, "kind" | "isGated" | "clamp">,
  alphas: Float32Array | null,
): (x: number, up: number) => number {
  if (clamp) {
    const { limit, slope, offset } = clamp;
    return (x, up) => {
      const gate = Math.min(x, limit);
      return (gate / (1 + Math.exp(-slope * gate))) * (Math.min(Math.max(up, -limit), limit) + offset);
    };
  }
  const act = activationOf(kind, alphas);
  return isGated ? (x, up) => act(x) * up : act;
}

/** alphas: of xielu; see `Ops.activate` */
export function activationOf(kind: ActivationKind, alphas: Float32Array | null): (x: number) => number {
  switch (kind) {
    case "silu":
      return (x) => x / (1 + Math.exp(-x));
    case "gelu":
      return (x) => x * normalCdf(x);
    case "gelu_tanh":
      return (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    case "quick_gelu":
      return (x) => x / (1 + Math.exp(-1.702 * x));
    case "relu":
      return (x) => Math.max(x, 0);
    case "relu2":
      return (x) => Math.max(x, 0) ** 2;
    case "xielu": {
      const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
      const [positive, negative] = [softplus(alphas![0]!), 0.5 + softplus(alphas![1]!)];
      return (x) => (x > 0 ? positive * x * x : negative * (Math.expm1(x) - x)) + 0.5 * x;
    }
  }
}

/**
 * The standard normal distribution function: its power series, whose terms all have one sign, and beyond 6 deviations, where it
 * would take many, the end it is 1e-9 away from.
 */
function normalCdf(x: number): number {
  if (Math.abs(x) > 6) return x > 0 ? 1 : 0;
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (x * x) / (2 * n + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}
