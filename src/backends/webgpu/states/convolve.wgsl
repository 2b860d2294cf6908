// out[row][c] = act(sum of taps[c][j] * u[row - REACH + j * DILATION][c] (+ bias[c])) (* gate), over the rows of a span; what comes before
// them is in the tail of the state. u is x, times its gate. An invocation has one channel of one row.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> taps: array<f32>;
@group(0) @binding(4) var<storage, read_write> pages: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
//#if BIASED
@group(0) @binding(6) var<storage, read> bias: array<f32>;
//#end

// The input of a channel, n rows behind the first one of the span.
fn input(record: u32, n: i32, c: u32) -> f32 {
  if (n < 0) {
    let before = step[record + STATE_BEFORE];
    if (before == 0u) {
      return 0.0;
    }
    return pages[(before - 1u) * p.page_words + p.part_at + u32(i32(REACH) + n) * p.channels + c];
  }
  let base = (step[record + STATE_ROW] + u32(n)) * p.stride;
  //#if INPUT_GATE
  return x[base + p.first + c] * x[base + p.input_gate + c];
  //#else
  return x[base + p.first + c];
  //#end
}

fn store_tail(record: u32, slot: u32, end: i32, c: u32) {
  let base = slot * p.page_words + p.part_at + c;
  for (var i = 0u; i < REACH; i++) {
    pages[base + i * p.channels] = input(record, end - i32(REACH) + i32(i), c);
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let c = group.x * THREADS + l;
  let row = group.y;
  if (c >= p.channels) {
    return;
  }
  let record = p.states_at + step[p.rows_at + row * ROW_WORDS + ROW_SPAN] * STATE_WORDS;
  let n = i32(row - step[record + STATE_ROW]);
  //#if BIASED
  var sum = bias[c];
  //#else
  var sum = 0.0;
  //#end
  for (var j = 0u; j < KERNEL; j++) {
    sum += taps[c * KERNEL + j] * input(record, n - i32(REACH) + i32(j * DILATION), c);
  }
  //#if SILU
  sum = sum / (1.0 + exp(min(-sum, 88.0)));
  //#end
  //#if OUTPUT_GATE
  sum *= x[row * p.stride + p.output_gate + c];
  //#end
  out[row * p.channels + c] = sum;
  if (n + 1 == i32(step[record + STATE_FIRST_END])) {
    store_tail(record, step[record + STATE_FIRST], n + 1, c);
  }
  if (n + 1 == i32(step[record + STATE_SECOND_END])) {
    store_tail(record, step[record + STATE_SECOND], n + 1, c);
  }
}
