/** @file Server-sent events of a generation: made as they are read, ended with [DONE], broken off when the reader leaves. */
import { toApiError } from "./api-error.ts";

const encoder = new TextEncoder();
const event = (value: object | "[DONE]"): Uint8Array =>
  encoder.encode(`data: ${value === "[DONE]" ? value : JSON.stringify(value)}\n\n`);

export interface StreamListener {
  /** Told what went wrong; the client gets the error object as its last event. */
  onStreamError(error: unknown): void;
  /** Once: at the end, or when the reader has left. */
  onStreamEnd(hasLeft: boolean): void;
}

export function eventStream(events: AsyncGenerator<object, void>, listener: StreamListener): Response {
  let isOver = false;
  const end = (hasLeft: boolean): void => {
    if (!isOver) listener.onStreamEnd(hasLeft);
    isOver = true;
  };
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (isOver) return;
      try {
        const next = await events.next();
        // The reader may have left meanwhile.
        if (isOver) return;
        if (!next.done) {
          controller.enqueue(event(next.value));
          return;
        }
        controller.enqueue(event("[DONE]"));
      } catch (error) {
        if (isOver) return;
        listener.onStreamError(error);
        controller.enqueue(event(toApiError(error).body));
      }
      end(false);
      controller.close();
    },
    async cancel() {
      end(true);
      await events.return().catch(() => {});
    },
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      // Proxies that collect would defeat the purpose.
      "x-accel-buffering": "no",
    },
  });
}
