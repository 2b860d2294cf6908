/** @file The store of a comparison. It outlives the view, so the user can look at other views in the meantime. */
import { DEFAULT_PROMPT } from "../../../src/cli/default-prompt.ts";
import { plainError, recoverEngine, tabEngine } from "../engine/engine-store.ts";
import type { CompareEvent } from "../engine/protocol.ts";
import { createStore } from "../ui/store.ts";
import { type Column, emptyColumn, withEvent } from "./columns.ts";

/** The beginning of the default prompt's story, without the secret codes, for the model to continue. */
const BEGINNING = DEFAULT_PROMPT.split("\n")
  .filter((line) => !line.startsWith("The secret code"))
  .slice(0, 5)
  .join("\n");

export interface Comparison {
  readonly prompt: string;
  readonly isRaw: boolean;
  readonly formats: readonly string[];
  readonly maxNewTokens: number;
  readonly columns: readonly Column[];
  readonly isRunning: boolean;
  readonly problem: string;
}

export const MOST_FORMATS = 3;

export const comparisonStore = createStore<Comparison>({
  prompt: BEGINNING,
  isRaw: true,
  formats: ["f16", "k4v4", "paper-2"],
  maxNewTokens: 64,
  columns: [],
  isRunning: false,
  problem: "",
});

let running: AbortController | null = null;

export const changeComparison = (change: Partial<Comparison>): void =>
  comparisonStore.update((comparison) => ({ ...comparison, ...change }));

export const stopComparison = (): void => running?.abort();

export async function startComparison(): Promise<void> {
  const engine = tabEngine();
  const { prompt, isRaw, maxNewTokens, isRunning } = comparisonStore.get();
  const formats = comparisonStore
    .get()
    .formats.map((kv) => kv.trim())
    .filter(Boolean);
  if (!engine || isRunning) return;
  running = new AbortController();
  changeComparison({ isRunning: true, problem: "", columns: formats.map(emptyColumn) });
  // A small model makes thousands of tokens a second, so they are shown frame by frame.
  let events: CompareEvent[] = [];
  const flush = (): void => {
    const { columns } = comparisonStore.get();
    const next = events.reduce<readonly Column[]>(withEvent, columns);
    events = [];
    if (next !== columns) changeComparison({ columns: next });
  };
  const timer = setInterval(flush, 60);
  try {
    const onEvent = (event: CompareEvent): void => {
      events.push(event);
    };
    await engine.compare({ prompt, isRaw, formats, maxNewTokens }, { onEvent, signal: running.signal });
  } catch (error) {
    const plain = plainError(error);
    if (plain.code !== "aborted") changeComparison({ problem: plain.message.replace(/^--kv: /, "") });
    if (plain.code === "device_lost") void recoverEngine(plain);
  } finally {
    clearInterval(timer);
    flush();
    running = null;
    changeComparison({ isRunning: false });
  }
}
