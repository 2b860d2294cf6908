// Finds a row's position, the tables of its span, and which of its keys are read from the pages of sinks and window.
let position = step[p.rows_at + row * ROW_WORDS + ROW_POSITION];
let span = p.spans_at + step[p.rows_at + row * ROW_WORDS + ROW_SPAN] * SPAN_WORDS;
let main_table = step[span + SPAN_TABLE];
//#if HAS_RESIDUAL
let residual_table = step[span + SPAN_RESIDUAL_TABLE];
let end = position + 1u;
let recent = max(select(0u, end - p.window, end > p.window), step[span + SPAN_RESIDUAL_START]);
// Keys are found by their positions, so sinks and window are not counted together.
let gap = 0u;
let sink_end = 0u;
//#end
