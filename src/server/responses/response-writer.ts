/** @file The items of a response while they are made, and the events that tell of them. */
import type { FinishReason } from "../../engine/generation.ts";
import type { WireDelta } from "../chat-answer.ts";

type Item = Record<string, unknown>;
export interface ResponseEvent {
  readonly type: string;
  readonly sequence_number: number;
}

interface Open {
  readonly kind: "message" | "reasoning" | "function_call";
  readonly item: Item;
  text: string;
}

export class ResponseWriter {
  readonly output: Item[] = [];
  readonly #id: string;
  #open: Open | null = null;
  #events = 0;

  /** id: of the response, which those of items are made of */
  constructor(id: string) {
    this.#id = id;
  }

  event(type: string, fields: object): ResponseEvent {
    return { type, sequence_number: this.#events++, ...fields };
  }

  *push(delta: WireDelta): Generator<ResponseEvent, void> {
    if (delta.reasoning_content) yield* this.#say("reasoning", delta.reasoning_content);
    if (delta.content) yield* this.#say("message", delta.content);
    for (const { id, function: call } of delta.tool_calls ?? []) {
      if (id !== undefined) {
        yield* this.#close();
        yield* this.#begin("function_call", { call_id: id, name: call.name, arguments: "" });
      }
      const open = this.#open;
      if (open?.kind !== "function_call" || call.arguments === "") continue;
      open.text += call.arguments;
      yield this.#about("response.function_call_arguments.delta", { delta: call.arguments });
    }
  }

  *end(reason: FinishReason): Generator<ResponseEvent, void> {
    yield* this.#close(reason === "stop" ? "completed" : "incomplete");
  }

  *#say(kind: "message" | "reasoning", text: string): Generator<ResponseEvent, void> {
    if (this.#open?.kind !== kind) {
      yield* this.#close();
      yield* this.#begin(kind, kind === "message" ? { role: "assistant", content: [] } : { summary: [], content: [] });
      yield this.#about("response.content_part.added", { content_index: 0, part: partOf(kind, "") });
    }
    this.#open!.text += text;
    yield kind === "message"
      ? this.#about("response.output_text.delta", { content_index: 0, delta: text, logprobs: [] })
      : this.#about("response.reasoning_text.delta", { content_index: 0, delta: text });
  }

  *#begin(kind: Open["kind"], fields: object): Generator<ResponseEvent, void> {
    const prefix = { message: "msg", reasoning: "rs", function_call: "fc" }[kind];
    const item = { id: `${prefix}_${this.#id}${this.output.length}`, type: kind, status: "in_progress", ...fields };
    this.#open = { kind, item, text: "" };
    this.output.push(item);
    yield this.event("response.output_item.added", { output_index: this.output.length - 1, item: { ...item } });
  }

  *#close(status = "completed"): Generator<ResponseEvent, void> {
    const open = this.#open;
    if (!open) return;
    const { kind, item, text } = open;
    if (kind === "function_call") {
      item["arguments"] = text;
      yield this.#about("response.function_call_arguments.done", { name: item["name"], arguments: text });
    } else {
      const part = partOf(kind, text);
      item["content"] = [part];
      const done = kind === "message" ? "response.output_text.done" : "response.reasoning_text.done";
      yield this.#about(done, { content_index: 0, text, ...(kind === "message" && { logprobs: [] }) });
      yield this.#about("response.content_part.done", { content_index: 0, part });
    }
    item["status"] = status;
    yield this.event("response.output_item.done", { output_index: this.output.length - 1, item: { ...item } });
    this.#open = null;
  }

  #about(type: string, fields: object): ResponseEvent {
    return this.event(type, { item_id: this.#open!.item["id"], output_index: this.output.length - 1, ...fields });
  }
}

const partOf = (kind: "message" | "reasoning", text: string): object =>
  kind === "message" ? { type: "output_text", text, annotations: [], logprobs: [] } : { type: "reasoning_text", text };
