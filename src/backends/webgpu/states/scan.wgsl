// The scan of a state space layer: h = exp(-dt exp(A)) h + dt x B and y = h C + D x for each coordinate of a head, row after row. A
// workgroup owns CHANNELS coordinates of a span. SLICES invocations share the states of a coordinate, each with every SLICES-th of them in
// registers. Rows go in tiles: each invocation adds up its own states' part of y, and the parts of a tile are put together at once.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
// B and C.
@group(0) @binding(3) var<storage, read> vectors: array<f32>;
@group(0) @binding(4) var<storage, read> steps: array<f32>;
// ln of the rates, then D, then the biases of the steps.
@group(0) @binding(5) var<storage, read> parameters: array<f32>;
@group(0) @binding(6) var<storage, read_write> pages: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;
const THREADS = CHANNELS * SLICES;
const TILE = 8u;
const OWN = (STATE_SIZE + SLICES - 1u) / SLICES;
//#include softplus

var<workgroup> tile_step: array<f32, CHANNELS * TILE>;
var<workgroup> tile_x: array<f32, CHANNELS * TILE>;
var<workgroup> parts: array<f32, THREADS * TILE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let inner = p.num_heads * p.head_dim;
  let slice = l % SLICES;
  let channel = group.x * CHANNELS + l / SLICES;
  let is_there = channel < inner;
  let head = min(channel, inner - 1u) / p.head_dim;
  let group_at = head / (p.num_heads / p.num_groups) * STATE_SIZE;
  //#if PER_STATE
  let skips_at = p.num_heads * STATE_SIZE;
  var rates: array<f32, OWN>;
  for (var i = 0u; i < OWN; i++) {
    rates[i] = exp(parameters[head * STATE_SIZE + min(i * SLICES + slice, STATE_SIZE - 1u)]);
  }
  //#else
  let skips_at = p.num_heads;
  let rate = exp(parameters[head]);
  //#end
  var h: array<f32, OWN>;
  let record = p.states_at + group.y * STATE_WORDS;
  let before = step[record + STATE_BEFORE];
  let own_at = p.part_at + channel * STATE_SIZE + slice;
  for (var i = 0u; i < OWN; i++) {
    h[i] = 0.0;
    if (before != 0u && is_there && i * SLICES + slice < STATE_SIZE) {
      h[i] = pages[(before - 1u) * p.page_words + own_at + i * SLICES];
    }
  }
  // Rows up to the first state that is stored, then up to the second.
  var start = 0u;
  for (var n = 0u; n < 2u; n++) {
    let end = step[record + select(STATE_FIRST_END, STATE_SECOND_END, n == 1u)];
    for (var r = start; r < end; r += TILE) {
      let first = step[record + STATE_ROW] + r;
      let count = min(TILE, end - r);
      if (l < CHANNELS * TILE) {
        let own = group.x * CHANNELS + l % CHANNELS;
        let t = l / CHANNELS;
        if (own < inner && t < count) {
          let whose = own / p.head_dim;
          let raw = steps[(first + t) * p.step_stride + p.steps_at + whose] + parameters[skips_at + p.num_heads + whose];
          tile_step[l] = clamp(softplus(raw), p.min_step, p.max_step);
          tile_x[l] = x[(first + t) * p.x_stride + p.x_at + own];
        }
      }
      workgroupBarrier();
      for (var t = 0u; t < count; t++) {
        let base = (first + t) * p.vector_stride + group_at;
        let at_tile = t * CHANNELS + l / SLICES;
        let dt = tile_step[at_tile];
        let dx = dt * tile_x[at_tile];
        var y = 0.0;
        //#if !PER_STATE
        let decay = exp(-dt * rate);
        //#end
        for (var i = 0u; i < OWN; i++) {
          let at = min(i * SLICES + slice, STATE_SIZE - 1u);
          //#if PER_STATE
          let decay = exp(-dt * rates[i]);
          //#end
          h[i] = h[i] * decay + dx * vectors[base + p.b_at + at];
          y += select(0.0, h[i] * vectors[base + p.c_at + at], i * SLICES + slice < STATE_SIZE);
        }
        parts[t * THREADS + l] = y;
      }
      workgroupBarrier();
      if (l < CHANNELS * TILE) {
        let own = group.x * CHANNELS + l % CHANNELS;
        let t = l / CHANNELS;
        if (own < inner && t < count) {
          var sum = parameters[skips_at + own / p.head_dim] * tile_x[l];
          for (var i = 0u; i < SLICES; i++) {
            sum += parts[t * THREADS + l % CHANNELS * SLICES + i];
          }
          out[(first + t) * inner + own] = sum;
        }
      }
      // The next tile may not be loaded before this one's x has been read.
      workgroupBarrier();
    }
    if (is_there && end > start) {
      let slot = step[record + select(STATE_FIRST, STATE_SECOND, n == 1u)];
      for (var i = 0u; i < OWN; i++) {
        if (i * SLICES + slice < STATE_SIZE) {
          pages[slot * p.page_words + own_at + i * SLICES] = h[i];
        }
      }
    }
    start = max(start, end);
  }
}
