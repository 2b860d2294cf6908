/** @file The engine's worker: takes calls, runs them one after the other but for calibrating, and sends events and results back. */
import { TurboQuantError } from "turboquant";
import { Host } from "./host.ts";
import type { CallName, Calls, FromWorker, PlainError, ToWorker } from "./protocol.ts";

/** `self` with the type of a dedicated worker; lib.dom declares it as a window. */
const scope = self as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
};

const host = new Host();
const running = new Map<number, AbortController>();
/** Calls that do not wait for the others: they take a moment, or wait by themselves. */
const BESIDE: ReadonlySet<CallName> = new Set(["calibrate", "measure", "look"]);
/** Calls that have not begun. */
const waiting = new Set<number>();
let queue: Promise<void> = Promise.resolve();
/** Calls that wait or run, without calibrating. */
let busy = 0;

/** Runs something when the calls before it have ended. */
function enqueue<T>(work: () => Promise<T>): Promise<T> {
  busy++;
  const done = queue.then(work).finally(() => {
    busy--;
  });
  queue = done.then(
    () => {},
    () => {},
  );
  return done;
}

type Handler<N extends CallName> = (
  argument: Calls[N]["argument"],
  send: (event: Calls[N]["event"]) => void,
  signal: AbortSignal,
) => Promise<Calls[N]["result"]>;

const handlers: { readonly [N in CallName]: Handler<N> } = {
  load: (request, send, signal) => host.load(request, send, signal),
  setKv: (kv) => host.setKv(kv),
  rewrite: (conversation, send, signal) => host.rewrite(conversation, send, signal),
  measure: (messages) => host.measure(messages),
  chat: (request, send, signal) => host.chat(request, send, signal),
  compare: (request, send, signal) => host.compare(request, send, signal),
  save: (conversation) => host.save(conversation),
  restore: ({ conversation, bytes }) => host.restore(conversation, bytes),
  look: async (conversation) => host.look(conversation) ?? enqueue(() => host.lookKept(conversation)),
  keep: (conversation) => host.keep(conversation),
  forget: (conversation) => host.forget(conversation),
  calibrate: (_, send, signal) => host.calibrate({ send, signal, isIdle: () => busy === 0, enqueue }),
};

function plainError(error: unknown): PlainError {
  if (error instanceof TurboQuantError) return { code: error.code, message: error.message };
  if (error instanceof DOMException && error.name === "AbortError") return { code: "aborted", message: "stopped" };
  return { code: "internal", message: error instanceof Error ? error.message : String(error) };
}

async function run(id: number, call: CallName, argument: unknown, signal: AbortSignal): Promise<void> {
  // It was stopped while it waited, which has been said.
  if (!running.has(id)) return;
  waiting.delete(id);
  try {
    const handler = handlers[call] as Handler<CallName>;
    const result = await handler(argument as never, (event) => scope.postMessage({ id, event }), signal);
    scope.postMessage({ id, result });
  } catch (error) {
    scope.postMessage({ id, error: plainError(error) });
  } finally {
    running.delete(id);
  }
}

scope.onmessage = ({ data }) => {
  if ("abort" in data) {
    running.get(data.id)?.abort();
    // What has not begun need not wait for its turn to end.
    if (waiting.delete(data.id)) {
      running.delete(data.id);
      scope.postMessage({ id: data.id, error: { code: "aborted", message: "stopped" } });
    }
    return;
  }
  const controller = new AbortController();
  running.set(data.id, controller);
  waiting.add(data.id);
  const work = (): Promise<void> => run(data.id, data.call, data.argument, controller.signal);
  // There is one model and one device, so calls are queued; calibrating waits until none is.
  void (BESIDE.has(data.call) ? work() : enqueue(work));
};
