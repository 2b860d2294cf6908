// Finds the keys of this workgroup: `low` .. `high - 1`, read ROUND_KEYS at a time from `base` on. They are a part of the codes,
// in whole rounds from the beginning of a page, or a part of the 16-bit copies.
let kv_head = group.x / PARTS;
let own_split = group.y;
let split = p.first_part + own_split;
let total_splits = p.all_parts;
let row = step[p.list_at + group.z];
let end = step[p.rows_at + row * ROW_WORDS + ROW_POSITION] + 1u;
let span = p.spans_at + step[p.rows_at + row * ROW_WORDS + ROW_SPAN] * SPAN_WORDS;
let main_table = step[span + SPAN_TABLE];
var first = select(0u, end - p.sliding, p.sliding > 0u && end > p.sliding);
if (p.chunk > 0u) {
  first = (end - 1u) / p.chunk * p.chunk;
}
// If GROUP does not divide KV_GROUP, the last part shares heads with the one before, and both write the same numbers.
let head_of_row = kv_head * KV_GROUP + min(group.x % PARTS * GROUP, KV_GROUP - GROUP);
let first_head = row * NUM_HEADS + head_of_row;
// Only rows that are attended have parts.
let first_part = group.z * NUM_HEADS + head_of_row;

//#if HAS_RESIDUAL
let residual_table = step[span + SPAN_RESIDUAL_TABLE];
let recent = max(select(0u, end - p.window, end > p.window), step[span + SPAN_RESIDUAL_START]);
let is_residual = own_split < p.copy_splits;
// This wraps around in workgroups that read copies; their keys are set below.
let part = own_split - p.copy_splits;
var coded = max(first, p.sinks);
//#else
//#if IS_COARSER
// Sinks and window are read with the finest codes.
var recent = max(select(0u, end - p.window, end > p.window), step[span + SPAN_RESIDUAL_START]);
var coded = max(first, p.sinks);
//#else
let recent = end;
var coded = first;
//#end
let is_residual = false;
let part = own_split;
//#end
//#if HAS_COARSER
// Pages before this one are read from a coarser tier.
let aged = select(0u, end - COARSER_AFTER, end > COARSER_AFTER) / PAGE_TOKENS;
coded = max(coded, max(aged, step[span + SPAN_COARSER_PAGES]) * PAGE_TOKENS);
//#end
//#if IS_COARSER
let own_aged = select(0u, end - OWN_AFTER, end > OWN_AFTER) / PAGE_TOKENS;
recent = min(recent, max(own_aged, step[span + SPAN_OWN_PAGES]) * PAGE_TOKENS);
//#end
let origin = coded / PAGE_TOKENS * PAGE_TOKENS;
let rounds = select(0u, (recent - origin + ROUND_KEYS - 1u) / ROUND_KEYS, recent > coded);
var base = origin + rounds * part / p.splits * ROUND_KEYS;
var low = max(coded, base);
var high = min(recent, origin + rounds * (part + 1u) / p.splits * ROUND_KEYS);
//#if HAS_RESIDUAL
// Copies are counted as if the recent ones followed the sinks without a gap.
let sink_end = max(first, min(p.sinks, end));
let gap = max(recent, sink_end) - sink_end;
if (is_residual) {
  let share = (end - gap - first + p.copy_splits - 1u) / p.copy_splits;
  base = first + own_split * share;
  low = base;
  high = min(base + share, end - gap);
}
//#end
high = max(high, low);
// Where no codes are to be read, there may be no page of them at all.
if (!is_residual && recent <= coded) {
  base = high;
}
