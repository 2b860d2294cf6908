/** @file What a checkpoint's tokenizer and template make of what requests send. It takes time, so a server has it done elsewhere. */
import type { ChatMessage, ChatTemplateOptions } from "../tokenizer/chat-template.ts";
import type { EncodeOptions, Tokenizer } from "../tokenizer/tokenizer.ts";

export type TextTask =
  | { readonly kind: "encode"; readonly text: string; readonly options: EncodeOptions }
  | { readonly kind: "render"; readonly messages: readonly ChatMessage[]; readonly options: ChatTemplateOptions };

/** @throws TurboQuantError as `Tokenizer.encode` and `Tokenizer.applyChatTemplate`; the reason of `signal` when nobody wants the result any more */
export interface TextWork {
  encode(text: string, options: EncodeOptions, signal?: AbortSignal): Promise<number[]>;
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions, signal?: AbortSignal): Promise<string>;
}

/** Done at once, in this thread. */
export const textWorkHere = (tokenizer: Tokenizer): TextWork => ({
  encode: async (text, options) => tokenizer.encode(text, options),
  render: (messages, options) => tokenizer.applyChatTemplate(messages, options),
});
