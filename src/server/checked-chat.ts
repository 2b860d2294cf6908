/** @file The chat request that a request of another API comes to, and what its fields are called in errors there. */
import { ApiError } from "./api-error.ts";
import { type ChatRequest, chatRequest } from "./request-schema.ts";

/** Beginnings of paths of a chat request, and what the other API calls them. The first that fits counts. */
export type FieldNames = readonly (readonly [chat: RegExp, own: string])[];

function nameOf(names: FieldNames, field: string): string {
  const [pattern, own] = names.find(([chat]) => chat.test(field)) ?? [];
  return pattern ? field.replace(pattern, own!) : field;
}

/** A message of a chat, and what it is made of. */
export interface NamedMessage {
  readonly message: Record<string, unknown>;
  /** The field of the other API. */
  readonly name: string;
  /** What has its content there. Default: `NAME.content` */
  readonly content?: string;
}

/** @throws ApiError 400 — what a chat would be refused for */
export function checkedChat(
  messages: readonly NamedMessage[],
  chat: Readonly<Record<string, unknown>>,
  names: FieldNames,
): ChatRequest {
  const result = chatRequest.safeParse({ ...chat, messages: messages.map(({ message }) => message) });
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const param = messageField(messages, path) ?? nameOf(names, path.map(String).join("."));
  throw new ApiError(400, `${param}: ${message}`, { code: "invalid_value", param });
}

function messageField(
  messages: readonly NamedMessage[],
  [field, index, ...rest]: readonly PropertyKey[],
): string | null {
  const own = field === "messages" && typeof index === "number" ? messages[index] : undefined;
  if (!own) return null;
  const { name, content = `${name}.content` } = own;
  const begin = rest[0] === "content" ? [content, ...rest.slice(1)] : [name, ...rest];
  return begin.map(String).join(".");
}

/**
 * What `work` comes to.
 * @throws ApiError what `work` throws, about fields of the other API
 */
export async function withNames<T>(names: FieldNames, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ApiError) || error.param === null) throw error;
    const { status, param, code, headers } = error;
    const own = nameOf(names, param);
    const message = error.message.startsWith(param) ? own + error.message.slice(param.length) : error.message;
    throw new ApiError(status, message, { ...(code !== null && { code }), param: own, headers });
  }
}
