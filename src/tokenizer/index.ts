/** @file The tokenizer and chat template of a checkpoint. */
export { type ChatMessage, ChatTemplate, type ChatTemplateOptions, type ToolCall } from "./chat-template.ts";
export { type DecodeOptions, type DecodeStream, type EncodeOptions, loadTokenizer, Tokenizer } from "./tokenizer.ts";
