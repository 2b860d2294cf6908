/** @file The chat request that a request of another API comes to. */
import { ApiError } from "./api-error.ts";
import { type ChatRequest, chatRequest } from "./request-schema.ts";

/** @throws ApiError 400 — what a chat would be refused for */
export function checkedChat(chat: object): ChatRequest {
  const result = chatRequest.safeParse(chat);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const param = path.map(String).join(".");
  throw new ApiError(400, `${param}: ${message}`, { code: "invalid_value", param });
}
