/**
 * @file Sends a generation as server-sent events. Events are made when
 * they are read; [DONE] ends them; a reader that disconnects stops them.
 */
import { toApiError } from "./api-error.ts";

const encoder = new TextEncoder();
const event = (value: object | "[DONE]"): Uint8Array =>
  encoder.encode(`data: ${value === "[DONE]" ? value : JSON.stringify(value)}\n\n`);

export interface StreamListener {
  /** Called with the error; the client gets the error object as its last event. */
  onStreamError(error: unknown): void;
  /** Called once, at the end or when the reader has disconnected. */
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
        // The reader may have disconnected in the meantime.
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
      // Keeps proxies from buffering the events.
      "x-accel-buffering": "no",
    },
  });
}
