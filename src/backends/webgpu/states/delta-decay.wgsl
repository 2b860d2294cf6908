// The decay of a row of the delta rule, of a head or of one of its channels of keys (`at`), and what its change is multiplied by.
fn sigmoid(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-x, 88.0)));
}

fn log_decay_of(row: u32, head: u32, at: u32) -> f32 {
  let x = decays[row * p.decay_stride + p.decay_first + at] + decay_bias[at];
  let rate = exp(decay_log[head]);
  //#if BOUNDED
  return p.decay_bound * sigmoid(rate * x);
  //#else
  return -rate * (max(x, 0.0) + log(1.0 + exp(-abs(x))));
  //#end
}

fn rate_of(row: u32, head: u32) -> f32 {
  return p.rate_scale * sigmoid(rates[row * p.rate_stride + p.rate_first + head]);
}
