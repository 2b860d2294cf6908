/** @file The blocks of a message while they are made, and the events that tell of them. */
import { isJsonObject } from "../../formats/json-file.ts";
import type { WireDelta } from "../chat-answer.ts";

type Block =
  | { type: "text"; text: string }
  /** A signature says that a thought is Anthropic's own. */
  | { type: "thinking"; thinking: string; signature: "" }
  | { type: "tool_use"; id: string; name: string; input: Readonly<Record<string, unknown>> };

export interface MessageEvent {
  readonly type: string;
}

export class MessageWriter {
  readonly content: Block[] = [];
  #isOpen = false;
  /** JSON of the input of the call that is open. */
  #input = "";

  *push(delta: WireDelta): Generator<MessageEvent, void> {
    if (delta.reasoning_content) yield* this.#think(delta.reasoning_content);
    if (delta.content) yield* this.#say(delta.content);
    for (const { id, function: call } of delta.tool_calls ?? []) {
      if (id !== undefined) yield* this.#begin({ type: "tool_use", id, name: call.name ?? "", input: {} });
      if (call.arguments === "") continue;
      this.#input += call.arguments;
      yield this.#delta({ type: "input_json_delta", partial_json: call.arguments });
    }
  }

  *end(): Generator<MessageEvent, void> {
    const block = this.content.at(-1);
    if (!this.#isOpen || !block) return;
    if (block.type === "tool_use") block.input = inputOf(this.#input);
    this.#input = "";
    this.#isOpen = false;
    yield this.#about("content_block_stop", {});
  }

  *#think(thinking: string): Generator<MessageEvent, void> {
    if (this.#openType !== "thinking") yield* this.#begin({ type: "thinking", thinking: "", signature: "" });
    (this.content.at(-1) as Extract<Block, { type: "thinking" }>).thinking += thinking;
    yield this.#delta({ type: "thinking_delta", thinking });
  }

  *#say(text: string): Generator<MessageEvent, void> {
    if (this.#openType !== "text") yield* this.#begin({ type: "text", text: "" });
    (this.content.at(-1) as Extract<Block, { type: "text" }>).text += text;
    yield this.#delta({ type: "text_delta", text });
  }

  get #openType(): Block["type"] | undefined {
    return this.#isOpen ? this.content.at(-1)?.type : undefined;
  }

  *#begin(block: Block): Generator<MessageEvent, void> {
    yield* this.end();
    this.content.push(block);
    this.#isOpen = true;
    yield this.#about("content_block_start", { content_block: { ...block } });
  }

  #delta(delta: object): MessageEvent {
    return this.#about("content_block_delta", { delta });
  }

  #about(type: string, fields: object): MessageEvent {
    return { type, index: this.content.length - 1, ...fields } as MessageEvent;
  }
}

/** Arguments as an object; of those that were cut off none. */
function inputOf(json: string): Readonly<Record<string, unknown>> {
  let input: unknown;
  try {
    input = JSON.parse(json);
  } catch {
    return {};
  }
  return isJsonObject(input) ? input : {};
}
