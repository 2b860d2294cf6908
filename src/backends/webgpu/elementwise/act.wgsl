// The activations of feed-forwards.
fn act(x: f32) -> f32 {
  //#if SILU
  return x / (1.0 + exp(-x));
  //#end
  //#if GELU
  // WGSL has no erf: formula 7.1.26 of Abramowitz and Stegun gives 1 - erf(z), off by at most 1.5e-7.
  let z = abs(x) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  let tail = 0.5 * poly * exp(-z * z);
  return x * select(tail, 1.0 - tail, x > 0.0);
  //#end
  //#if GELU_TANH
  // x * (1 + tanh(u)) / 2 equals x / (1 + exp(-2u)). The exponent is limited, so that exp cannot overflow where this is nearly 0.
  let u2 = 1.5957691216057308 * (x + 0.044715 * x * x * x);
  return x / (1.0 + exp(min(-u2, 88.0)));
  //#end
  //#if QUICK_GELU
  return x / (1.0 + exp(min(-1.702 * x, 88.0)));
  //#end
  //#if RELU
  return max(x, 0.0);
  //#end
  //#if RELU2
  let positive = max(x, 0.0);
  return positive * positive;
  //#end
  //#if XIELU
  if (x > 0.0) {
    return softplus(alphas[0]) * x * x + 0.5 * x;
  }
  // This is exp(x) - 1 - x, by its series near 0, where the difference would cancel.
  let near = (((((x / 5040.0 + 1.0 / 720.0) * x + 1.0 / 120.0) * x + 1.0 / 24.0) * x + 1.0 / 6.0) * x + 0.5) * x * x;
  let far = exp(x) - 1.0 - x;
  return (0.5 + softplus(alphas[1])) * select(far, near, x > -0.5) + 0.5 * x;
  //#end
}

//#if GATED
/// Returns what is made of a gate and of what it is multiplied by.
fn act_gated(gate: f32, up: f32) -> f32 {
  //#if CLAMPED
  let g = min(gate, p.limit);
  return g / (1.0 + exp(-p.slope * g)) * (clamp(up, -p.limit, p.limit) + p.offset);
  //#else
  return act(gate) * up;
  //#end
}
//#end
