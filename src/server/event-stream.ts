/**
 * @file Sends a generation as server-sent events. Events are made when
 * they are read; [DONE] ends them; a reader that disconnects stops them.
 */
import { isClientLeft, toApiError } from "./api-error.ts";

const encoder = new TextEncoder();
const event = (value: object | "[DONE]"): Uint8Array =>
  encoder.encode(`data: ${value === "[DONE]" ? value : JSON.stringify(value)}\n\n`);
const namedEvent = (value: object): Uint8Array =>
  encoder.encode(`event: ${(value as { readonly type: string }).type}\ndata: ${JSON.stringify(value)}\n\n`);

export interface StreamListener {
  /** Called with the error; the client, if it is still there, gets the error object as its last event. */
  onStreamError(error: unknown): void;
  /** Called once, at the end or when the reader has disconnected. */
  onStreamEnd(hasLeft: boolean): void;
}

/**
 * kind: `data` as chats have it, with a last event [DONE]; `named` by the `type` of each event, with no other end than its own;
 * `messages`: the same, with errors as Anthropic has them
 */
export function eventStream(
  events: AsyncGenerator<object, void>,
  listener: StreamListener,
  kind: "data" | "named" | "messages" = "data",
): Response {
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
          controller.enqueue(kind === "data" ? event(next.value) : namedEvent(next.value));
          return;
        }
        if (kind === "data") controller.enqueue(event("[DONE]"));
      } catch (error) {
        if (!isOver || !isClientLeft(error)) listener.onStreamError(error);
        if (isOver) return;
        const { body, messagesBody } = toApiError(error);
        if (kind === "data") controller.enqueue(event(body));
        else controller.enqueue(namedEvent(kind === "named" ? { ...body.error, type: "error" } : messagesBody));
      }
      end(false);
      controller.close();
    },
    async cancel() {
      end(true);
      await events.return().catch((error: unknown) => listener.onStreamError(error));
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
