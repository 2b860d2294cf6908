/** @file Runs the sockets of the server in a thread of their own, so that they are served whatever the engine computes. */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { type ErrorCode, TurboQuantError } from "../errors.ts";
import { startModuleThread } from "../node/module-thread.ts";
import type { GateOptions } from "../server/gate.ts";
import { Relay, type RelayHandlers } from "../server/relay.ts";
import type { Listening, ListenOptions } from "./http-server.ts";

export interface HttpThreadData {
  readonly port: MessagePort;
  readonly gate: GateOptions;
  readonly listen: ListenOptions;
}
export type ToHttp = "stop" | "destroy";
export type FromHttp =
  | { readonly kind: "listening"; readonly url: string; readonly port: number }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: "stopped" };

export interface HttpThread extends Listening {
  /** From now on the health check says 503. */
  drain(): void;
  /** Ends the thread. */
  close(): Promise<void>;
  /** Resolves with the reason when the thread ends by itself, which it should not. */
  readonly failure: Promise<Error>;
}

/** @throws TurboQuantError invalid_argument — as `listen` */
export async function startHttp(
  handlers: RelayHandlers,
  options: { readonly gate: GateOptions; readonly listen: ListenOptions },
): Promise<HttpThread> {
  const { port1, port2 } = new MessageChannel();
  const workerData: HttpThreadData = { port: port2, ...options };
  const worker = startModuleThread(import.meta.url, "http-thread", { workerData, transferList: [port2] });
  const relay = new Relay(port1 as unknown as globalThis.MessagePort, handlers);
  let onStopped = (): void => {};
  const stopped = new Promise<void>((resolve) => {
    onStopped = resolve;
  });
  let isClosing = false;
  const failure = new Promise<Error>((resolve) => {
    worker.once("error", resolve);
    worker.once("exit", (code) => {
      onStopped();
      if (!isClosing) resolve(new Error(`the thread of the sockets ended with ${code}`));
    });
  });
  const tell = (message: ToHttp): void => worker.postMessage(message);
  const close = async (): Promise<void> => {
    isClosing = true;
    relay.close();
    await worker.terminate();
  };
  const listening = new Promise<{ url: string; port: number }>((resolve, reject) => {
    worker.on("message", (message: FromHttp) => {
      if (message.kind === "listening") resolve(message);
      else if (message.kind === "stopped") onStopped();
      else reject(new TurboQuantError(message.code, message.message));
    });
    void failure.then(reject);
  });
  try {
    const { url, port } = await listening;
    return {
      url,
      port,
      failure,
      drain: () => relay.drain(),
      stop: () => {
        tell("stop");
        return stopped;
      },
      destroy: () => tell("destroy"),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
