/** @file Prints the result of `turboquant recommend`: evidence, recommended format, its cost, and the command to paste. */
import { formatBytes, formatCount, significant } from "../format-number.ts";
import { type RungResult, recallCounts } from "../plan/find-smallest.ts";
import type { Criterion, Gate, GateName } from "../plan/gates.ts";
import { type Align, comparedSize, formatPercent, markdownTable } from "./format.ts";

export interface Recommendation {
  readonly model: string;
  readonly gate: GateName;
  readonly limits: Gate;
  /** null when no format passes. */
  readonly kv: string | null;
  readonly text: string;
  readonly ctx: number;
  readonly maxChunks: number;
  /** Whether recall was measured. */
  readonly hasRecall: boolean;
  /** What ended the search before all that was left to try was tried; null for nothing. */
  readonly ended: "time" | "interrupted" | null;
  readonly rungs: readonly RungResult[];
  /** Cost of the recommended format, or of f16 when none passes. */
  readonly cost: { readonly context: number; readonly cacheBytes: number; readonly cacheBytesF16: number };
  readonly command: string;
}

/** How many times longer than its evidence a context may be that a verdict speaks for. */
const REACH = 2;

/** Whether the context that bytes are counted for is far longer than any sequence that was read. */
const isFarBeyond = ({ ctx, cost }: Recommendation): boolean => cost.context > REACH * ctx;

export function recommendationJson(recommendation: Recommendation): object {
  const rungs = recommendation.rungs.map(({ criteria, ...rung }) => ({
    ...rung,
    criteria: Object.fromEntries(
      criteria.map(({ name, estimate, threshold, verdict }) => [name, { ...estimate, threshold, verdict }]),
    ),
  }));
  return { ...recommendation, isBeyondEvidence: isFarBeyond(recommendation), rungs };
}

/** width: characters of a line */
export function recommendationText(recommendation: Recommendation, width: number): string {
  return [table(recommendation, width), "\n", limits(recommendation), "\n", ...answer(recommendation)].join("");
}

const percent = (share: number): string => (share * 100).toFixed(1);
/** How figures of each criterion are formatted, as value [99 % interval]. */
const WRITE: Readonly<Record<Criterion["name"], (value: number) => string>> = {
  "PPL ratio": (value) => value.toFixed(4),
  "KLD mean": significant,
  "top-1": percent,
  "KLD p99.9": significant,
};

function table({ rungs, hasRecall, limits }: Recommendation, width: number): string {
  const names = (Object.keys(WRITE) as Criterion["name"][]).filter(
    (name) => name !== "KLD p99.9" || limits.tail !== null,
  );
  const titles = ["kv", "verdict", "because of", "tokens", ...names, ...(hasRecall ? ["recall"] : [])];
  const rows = rungs.map(({ kv, verdict, reason, tokens, criteria, recall }) => [
    kv,
    verdict === "open" ? (tokens > 0 ? "not decided" : "not tried") : verdict,
    verdict === "pass" ? "" : reason,
    tokens > 0 ? formatCount(tokens) : "–",
    ...names.map((name) => cell(criteria.find((criterion) => criterion.name === name))),
    ...(hasRecall ? [recall ? `${formatPercent(recall.own, 0)} (${formatPercent(recall.base, 0)})` : "–"] : []),
  ]);
  const aligns: Align[] = titles.map((_, i) => (i < 3 ? "left" : "right"));
  return markdownTable(
    titles.map((title, i) => ({ title, align: aligns[i]! })),
    rows,
    width,
  );
}

function cell(criterion: Criterion | undefined): string {
  if (!criterion) return "–";
  const { value, low, high } = criterion.estimate;
  const write = WRITE[criterion.name];
  const bound = (end: number): string => (Number.isFinite(end) ? write(end) : "?");
  return `${write(value)} [${bound(low)}, ${bound(high)}]`;
}

function limits({ gate, limits, text, ctx, model, hasRecall }: Recommendation): string {
  const tail = limits.tail ? `, KLD p99.9 at most ${limits.tail.floor} (or ${limits.tail.ratio}× that of k8v8)` : "";
  const recall = hasRecall
    ? `, recall at most ${formatPercent(limits.needleLoss)} below the exact cache's (in parentheses)`
    : "";
  return (
    `${gate}: PPL ratio at most ${limits.pplRatio}, mean KLD at most ${limits.kldMean} nats, top-1 at least ${formatPercent(limits.top1, 0)}${tail}${recall}.\n` +
    `${model} against its own f16 cache on ${text}, chunks of ${formatCount(ctx)} tokens; 99 % intervals in square brackets.\n`
  );
}

function answer(recommendation: Recommendation): string[] {
  const { model, gate, kv, rungs, cost, command, ctx } = recommendation;
  const { context, cacheBytes, cacheBytesF16 } = cost;
  const lines: string[] = [];
  if (kv === null) {
    lines.push(`No format that was tried leaves ${model} ${gate} for certain: stay with the f16 cache.\n`);
  } else {
    lines.push(
      `${model} is ${gate} with ${kv} over ${formatCount(ctx)} tokens: ${formatBytes(cacheBytes)} for ${formatCount(context)} tokens against ${formatBytes(cacheBytesF16)} in f16, ${comparedSize(cacheBytes, cacheBytesF16)}.\n`,
    );
    if (isFarBeyond(recommendation)) {
      lines.push(
        `Nothing longer than ${formatCount(ctx)} tokens was read, and formats lose more the longer a text is: nothing is known of ${formatCount(context)} tokens. ` +
          `Judge it there with --ctx ${Math.min(context, 4 * ctx)}, or ask for a --context that you use.\n`,
      );
    }
  }
  const chosen = rungs.find((rung) => rung.kv === kv);
  const undecided = rungs.filter(({ verdict, tokens }) => verdict === "open" && tokens > 0);
  if (undecided.length > 0) {
    const names = undecided.map(({ kv, tokens }) => `${kv} with ${formatCount(tokens)} tokens`).join(", ");
    lines.push(
      `Not decided: ${names}. A longer --text and more --chunks${recommendation.ended === "time" ? ", or more --time," : ""} may admit ${undecided.length === 1 ? "it" : "them"}.\n`,
    );
  }
  const untried = rungs.filter(({ verdict, tokens }) => verdict === "open" && tokens === 0).map((rung) => rung.kv);
  if (recommendation.ended !== null) {
    const why = recommendation.ended === "time" ? "The time was over" : "It was interrupted";
    const missing =
      untried.length > 0 ? ` before ${untried.join(", ")} ${untried.length === 1 ? "was" : "were"} tried` : "";
    lines.push(
      `${why}${missing}; what is said above is what is known so far${recommendation.ended === "time" ? ", and --time 20m asks for more" : ""}.\n`,
    );
  }
  if (recommendation.hasRecall && chosen && !chosen.recall)
    lines.push("Recall was not measured: no time was left for it.\n");
  if (chosen?.recall) lines.push(recallLine(chosen));
  lines.push(`\n  ${command}\n`);
  return lines;
}

function recallLine({ recall }: RungResult): string {
  const { own, base, low, high, counts } = recallCounts(recall!);
  if (!counts)
    return `Recall was left out of the gate: the exact cache itself answers only ${base} of ${recall!.prompts} prompts.\n`;
  return `Recall: ${own} of ${recall!.prompts} prompts against ${base} (95 % interval of the difference ${percent(low)} to ${percent(high)} points).\n`;
}
