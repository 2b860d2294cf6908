/** @file One choice of a chat's answer on its way to the client: text, thought and calls, as they become certain. */
import type { AnswerParser, AnswerPart } from "../chat/answer-parser.ts";
import type { FinishReason } from "../engine/generation.ts";
import type { ChatPlan } from "./chat-plan.ts";

interface WireCallDelta {
  readonly index: number;
  readonly id?: string;
  readonly type?: "function";
  readonly function: { readonly name?: string; readonly arguments: string };
}

/** What a piece adds to the message. */
export interface WireDelta {
  readonly content?: string;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly WireCallDelta[];
}

export interface WireMessage {
  readonly role: "assistant";
  readonly content: string | null;
  readonly refusal: null;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly object[];
}

interface Call {
  readonly id: string;
  readonly name: string;
  text: string;
}

export class ChatAnswer {
  readonly #plan: ChatPlan;
  readonly #parser: AnswerParser;
  readonly #calls: Call[] = [];
  #content = "";
  #reasoning = "";
  /** Calls beyond the only one that the client wants. */
  #isSkipping = false;

  constructor(plan: ChatPlan) {
    this.#plan = plan;
    this.#parser = plan.createParser();
  }

  /** The deltas that a piece of text makes. isLast: whether no more follows */
  push(text: string, isLast: boolean): WireDelta[] {
    const parts = this.#parser.push(text);
    if (isLast) parts.push(...this.#parser.end());
    const deltas: WireDelta[] = [];
    for (const part of parts) {
      const delta = this.#take(part);
      if (delta) deltas.push(delta);
    }
    return deltas;
  }

  #take(part: AnswerPart): WireDelta | null {
    switch (part.kind) {
      case "content":
        this.#content += part.text;
        return { content: part.text };
      case "reasoning":
        if (!this.#plan.showsReasoning) return null;
        this.#reasoning += part.text;
        return { reasoning_content: part.text };
      case "call":
        this.#isSkipping = !this.#plan.isParallel && this.#calls.length > 0;
        return this.#isSkipping ? null : this.#beginCall(part.name);
      case "arguments": {
        const call = this.#calls.at(-1);
        if (this.#isSkipping || !call) return null;
        call.text += part.text;
        return { tool_calls: [{ index: this.#calls.length - 1, function: { arguments: part.text } }] };
      }
    }
  }

  #beginCall(name: string): WireDelta {
    const id = this.#plan.createCallId();
    this.#calls.push({ id, name, text: "" });
    const index = this.#calls.length - 1;
    return { tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] };
  }

  /** An answer that ended by itself and has calls ends with them. */
  finish(reason: FinishReason): FinishReason | "tool_calls" {
    return reason === "stop" && this.#calls.length > 0 ? "tool_calls" : reason;
  }

  get message(): WireMessage {
    const hasCalls = this.#calls.length > 0;
    return {
      role: "assistant",
      content: hasCalls && this.#content === "" ? null : this.#content,
      refusal: null,
      ...(this.#reasoning !== "" && { reasoning_content: this.#reasoning }),
      ...(hasCalls && {
        tool_calls: this.#calls.map(({ id, name, text }) => ({
          id,
          type: "function",
          function: { name, arguments: text },
        })),
      }),
    };
  }
}
