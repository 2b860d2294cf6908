/** @file The store of a comparison. It outlives the view, so the user can look at other views in the meantime. */
import { plainError, recoverEngine, tabEngine } from "../engine/engine-store.ts";
import type { CompareEvent } from "../engine/protocol.ts";
import { isRecord, readSaved, save } from "../ui/saved.ts";
import { createStore } from "../ui/store.ts";
import { type Column, emptyColumn, stopped, withEvent } from "./columns.ts";
import { BEGINNING, QUESTIONS, STORY, TASKS, type Task } from "./tasks.ts";

export interface Comparison {
  readonly task: Task;
  /** Of one's own. */
  readonly prompt: string;
  readonly isRaw: boolean;
  readonly formats: readonly string[];
  readonly maxNewTokens: number;
  /** The task that `columns` are of. */
  readonly shownTask: Task;
  readonly columns: readonly Column[];
  readonly isRunning: boolean;
  readonly problem: string;
}

export const MOST_FORMATS = 3;

type Form = Pick<Comparison, "task" | "prompt" | "isRaw" | "formats" | "maxNewTokens">;

const isForm = (value: unknown): value is Form =>
  isRecord(value) &&
  TASKS.some((task) => task === value["task"]) &&
  typeof value["prompt"] === "string" &&
  typeof value["isRaw"] === "boolean" &&
  Array.isArray(value["formats"]) &&
  value["formats"].every((kv) => typeof kv === "string") &&
  typeof value["maxNewTokens"] === "number";

export const comparisonStore = createStore<Comparison>({
  task: "recall",
  prompt: "",
  isRaw: true,
  // The last one is coarse enough to forget something.
  formats: ["f16", "k4v4", "k1v1"],
  maxNewTokens: 64,
  ...readSaved("comparison", isForm),
  shownTask: "recall",
  columns: [],
  isRunning: false,
  problem: "",
});

let running: AbortController | null = null;

const show = (change: Partial<Comparison>): void =>
  comparisonStore.update((comparison) => ({ ...comparison, ...change }));

/** What is filled in survives a reload. */
export function changeComparison(change: Partial<Form>): void {
  show(change);
  const { task, prompt, isRaw, formats, maxNewTokens } = comparisonStore.get();
  save("comparison", { task, prompt, isRaw, formats, maxNewTokens });
}

/** What the model is asked. */
function requestOf({ task, prompt, isRaw }: Comparison) {
  if (task === "recall") return { prompt: STORY, isRaw: false, questions: QUESTIONS };
  return task === "continue" ? { prompt: BEGINNING, isRaw: true, questions: [] } : { prompt, isRaw, questions: [] };
}

export const stopComparison = (): void => running?.abort();

export async function startComparison(): Promise<void> {
  const engine = tabEngine();
  const { task, maxNewTokens, isRunning } = comparisonStore.get();
  const formats = comparisonStore
    .get()
    .formats.map((kv) => kv.trim())
    .filter(Boolean);
  if (!engine || isRunning) return;
  running = new AbortController();
  show({ isRunning: true, problem: "", shownTask: task, columns: formats.map(emptyColumn) });
  // A small model makes thousands of tokens a second, so they are shown frame by frame.
  let events: CompareEvent[] = [];
  const flush = (): void => {
    const { columns } = comparisonStore.get();
    const next = events.reduce<readonly Column[]>(withEvent, columns);
    events = [];
    if (next !== columns) show({ columns: next });
  };
  const timer = setInterval(flush, 60);
  try {
    const onEvent = (event: CompareEvent): void => {
      events.push(event);
    };
    const request = { ...requestOf(comparisonStore.get()), formats, maxNewTokens };
    await engine.compare(request, { onEvent, signal: running.signal });
  } catch (error) {
    const plain = plainError(error);
    if (plain.code !== "aborted") show({ problem: plain.message.replace(/^--kv: /, "") });
    if (plain.code === "device_lost") void recoverEngine(plain);
  } finally {
    clearInterval(timer);
    flush();
    running = null;
    show({ isRunning: false, columns: stopped(comparisonStore.get().columns) });
  }
}
