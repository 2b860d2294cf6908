// Attention of one row and one KV head: tiles of 64 keys, each scored by one invocation for all query heads, with an online
// softmax. The plain form of what attend-decode and attend-prefill do fast.
struct Params {
  rows_at: u32,
  spans_at: u32,
  window: u32,
  sinks: u32,
  sliding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> pages: array<u32>;
@group(0) @binding(3) var<storage, read> exact_pages: array<u32>;
@group(0) @binding(4) var<storage, read> query: array<f32>;
@group(0) @binding(5) var<storage, read> centroids: array<f32>;
@group(0) @binding(6) var<storage, read_write> parts: array<f32>;
@group(0) @binding(7) var<storage, read_write> stats: array<f32>;

const THREADS = 128u;
const UNITS = HEAD_DIM / 8u;
const COPIES = 1u;
var<workgroup> lut: array<u32, LUT_SIZE>;
var<workgroup> q: array<f32, HEAD_DIM * GROUP>;
var<workgroup> sc: array<f32, 64u * GROUP>;
var<workgroup> acc: array<f32, HEAD_DIM * GROUP>;
var<workgroup> top: array<f32, GROUP>;
var<workgroup> total: array<f32, GROUP>;
var<workgroup> shrink: array<f32, GROUP>;
//#insert READERS

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let kv_head = group.x;
  let row = group.y;
  for (var e = l; e < K_ENTRIES; e += THREADS) {
    lut[e] = k_entry(e);
  }
  for (var e = l; e < V_ENTRIES; e += THREADS) {
    lut[K_ENTRIES + e] = v_entry(e);
  }
  for (var i = l; i < HEAD_DIM * GROUP; i += THREADS) {
    q[i] = query[(row * NUM_HEADS + kv_head * GROUP) * HEAD_DIM + i];
    acc[i] = 0.0;
  }
  if (l < GROUP) {
    top[l] = -3.0e38;
    total[l] = 0.0;
  }
  let position = step[p.rows_at + row * 4u + 1u];
  let span = p.spans_at + step[p.rows_at + row * 4u + 2u] * 4u;
  let end = position + 1u;
  var first = 0u;
  if (p.sliding > 0u && end > p.sliding) {
    first = end - p.sliding;
  }
  var recent = end;
  if (HAS_EXACT > 0u) {
    recent = max(select(0u, end - p.window, end > p.window), step[span + 2u]);
  }
  for (var base = first / 64u * 64u; base < end; base += 64u) {
    workgroupBarrier();
    let j = base + l;
    let is_exact = HAS_EXACT > 0u && (j < p.sinks || j >= recent);
    if (l < 64u) {
      var s = array<f32, GROUP>();
      if (j >= first && j < end) {
        let main = (step[step[span] + j / 64u] & SLOT_MASK) * PAGE_BYTES;
        var exact = 0u;
        if (is_exact) {
          exact = (step[step[span + 1u] + j / EXACT_TOKENS] & SLOT_MASK) * EXACT_BYTES;
        }
        for (var unit = 0u; unit < UNITS; unit++) {
          var k: array<vec2f, 4>;
          var scale = 1.0;
          if (is_exact) {
            k = xk_unit(exact, kv_head, j % EXACT_TOKENS, unit, l);
          } else {
            k = k_unit(main, kv_head, j % 64u, unit, l);
            scale = k_block(main, kv_head, j % 64u, unit);
          }
          for (var g = 0u; g < GROUP; g++) {
            let at = g * HEAD_DIM + unit * 8u;
            var sum = 0.0;
            for (var i = 0u; i < 4u; i++) {
              sum += q[at + 2u * i] * k[i].x + q[at + 2u * i + 1u] * k[i].y;
            }
            s[g] += sum * scale;
          }
        }
        let scale = select(k_scale(main, kv_head, j % 64u), 1.0, is_exact);
        for (var g = 0u; g < GROUP; g++) {
          sc[l * GROUP + g] = s[g] * scale;
        }
      } else {
        for (var g = 0u; g < GROUP; g++) {
          sc[l * GROUP + g] = -3.0e38;
        }
      }
    }
    workgroupBarrier();
    if (l < GROUP) {
      var most = top[l];
      for (var t = 0u; t < 64u; t++) {
        most = max(most, sc[t * GROUP + l]);
      }
      shrink[l] = exp(top[l] - most);
      var sum = total[l] * shrink[l];
      for (var t = 0u; t < 64u; t++) {
        let at = t * GROUP + l;
        let weight = select(exp(sc[at] - most), 0.0, sc[at] < -2.0e38);
        sc[at] = weight;
        sum += weight;
      }
      total[l] = sum;
      top[l] = most;
    }
    workgroupBarrier();
    for (var task = l; task < GROUP * UNITS; task += THREADS) {
      let g = task / UNITS;
      let unit = task % UNITS;
      var sum = array<vec2f, 4>();
      for (var t = 0u; t < 64u; t++) {
        let weight = sc[t * GROUP + g];
        if (weight == 0.0) {
          continue;
        }
        let key = base + t;
        if (HAS_EXACT > 0u && (key < p.sinks || key >= recent)) {
          let exact = (step[step[span + 1u] + key / EXACT_TOKENS] & SLOT_MASK) * EXACT_BYTES;
          let v = xv_unit(exact, kv_head, key % EXACT_TOKENS, unit, l);
          for (var i = 0u; i < 4u; i++) {
            sum[i] += weight * v[i];
          }
        } else {
          let main = (step[step[span] + key / 64u] & SLOT_MASK) * PAGE_BYTES;
          let v = v_unit(main, kv_head, t, unit, l);
          let factor = weight * v_scale(main, kv_head, t) * v_block(main, kv_head, t, unit);
          for (var i = 0u; i < 4u; i++) {
            sum[i] += factor * v[i];
          }
        }
      }
      for (var i = 0u; i < 4u; i++) {
        let at = g * HEAD_DIM + unit * 8u + 2u * i;
        acc[at] = acc[at] * shrink[g] + sum[i].x;
        acc[at + 1u] = acc[at + 1u] * shrink[g] + sum[i].y;
      }
    }
  }
  workgroupBarrier();
  let head = row * NUM_HEADS + kv_head * GROUP;
  for (var i = l; i < HEAD_DIM * GROUP; i += THREADS) {
    parts[head * HEAD_DIM + i] = acc[i];
  }
  if (l < GROUP) {
    stats[(head + l) * 2u] = top[l];
    stats[(head + l) * 2u + 1u] = total[l];
  }
}
