/** @file The soft cap of scores as WGSL. Layers without one get no text for it. */
import { floatText } from "../queue/shader-text.ts";

/**
 * `fn capped(score)` returns cap · tanh(score / cap) without WGSL's tanh, which may overflow or be as coarse as f16. The argument
 * of exp is limited where the result is ±cap anyway, so that exp cannot overflow.
 *
 * cap: `softcap` of an `AttentionLayer`, above 0
 */
export function softcapText(cap: number): string {
  return `fn capped(score: f32) -> f32 {
  return ${floatText(cap)} - ${floatText(2 * cap)} / (exp(clamp(score * ${floatText(2 / cap)}, -40.0, 40.0)) + 1.0);
}`;
}

/** The expression `score` with the cap, if there is one. */
export const cappedText = (softcap: number, score: string): string => (softcap === 0 ? score : `capped(${score})`);
