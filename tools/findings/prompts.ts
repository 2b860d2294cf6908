/** @file Table on how much 15 prompts can show: 95 % intervals (Wilson) of the rates in the article's tables. */
import { wilson } from "../../src/eval/intervals.ts";
import { figures } from "./table.ts";

const PROMPTS = 15;

export function promptIntervals(): string {
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  const rows = [2, 8, 11, 12, 13, 14, 15].map((hits) => {
    const { low, high } = wilson(hits, PROMPTS);
    return [`${hits} of ${PROMPTS}`, percent(hits / PROMPTS), `${percent(low)} to ${percent(high)}`];
  });
  return figures(["right answers", "rate", "95 % interval"], rows);
}
