/** @file The names that config files have for activations. */
import type { ActivationKind } from "../backends/ops.ts";
import type { ConfigFields } from "./config-fields.ts";

/** As in Transformers' ACT2FN. */
const KINDS: Readonly<Record<string, ActivationKind>> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  gelu_python_tanh: "gelu_tanh",
  gelu_accurate: "gelu_tanh",
  quick_gelu: "quick_gelu",
  relu: "relu",
  relu2: "relu2",
  xielu: "xielu",
};

/** field: of the config · fallback: what the family's config class has. @throws TurboQuantError unsupported — an activation without a kernel */
export function parseActivation(config: ConfigFields, fallback: string, field = "hidden_act"): ActivationKind {
  const name = config.string(field, fallback);
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind) return kind;
  throw config.unsupported(field, `expected one of ${Object.keys(KINDS).join(", ")}`);
}

/**
 * Checks the activation of blocks whose convolutions and gates are computed with SiLU alone.
 *
 * what: these blocks, for the message
 * @throws TurboQuantError unsupported — another activation
 */
export function requireSilu(config: ConfigFields, field: string, what: string): void {
  const name = config.string(field, "silu");
  if (!Object.hasOwn(KINDS, name) || KINDS[name] !== "silu")
    throw config.unsupported(field, `${what} are computed with silu alone`);
}
