/** @file The interface of an engine, in this tab or behind a server. */
import type { ChatEvent, ChatRequest, ChatResult, ModelInfo } from "./protocol.ts";

export interface ChatOptions {
  readonly onEvent: (event: ChatEvent) => void;
  readonly signal: AbortSignal;
}

export interface Engine {
  readonly where: "tab" | "server";
  readonly info: ModelInfo;
  /** @throws EngineError */
  chat(request: ChatRequest, options: ChatOptions): Promise<ChatResult>;
  dispose(): void;
}
