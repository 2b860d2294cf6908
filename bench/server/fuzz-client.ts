/** @file Sends a fuzzed request as its bytes are, and says what is wrong with the answer. */
import { type Agent, type IncomingMessage, request as open } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { isMessagesPath } from "../../src/server/api-error.ts";
import { isConnectionClosed } from "./connection-error.ts";
import type { FuzzedRequest } from "./fuzz-requests.ts";

/** Pieces of a slow body, and the time between two of them. */
const PIECES = 5;
const PIECE_EVERY_MS = 20;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** The end of an exchange: an answer, or null where the client hung up. */
export async function send(
  url: string,
  asked: FuzzedRequest,
  agent: Agent,
  deadlineMs: number,
  onSentAgain: () => void,
): Promise<Answer | null> {
  try {
    return await sendOnce(url, asked, agent, deadlineMs);
  } catch (error) {
    // A server may close an idle connection as a request goes out on it. What broke off in an answer is not asked again.
    if (!isConnectionClosed(error) || !(error as { isUnanswered?: boolean }).isUnanswered) throw error;
    onSentAgain();
    return await sendOnce(url, asked, agent, deadlineMs);
  }
}

function sendOnce(url: string, asked: FuzzedRequest, agent: Agent, deadlineMs: number): Promise<Answer | null> {
  const { method, path, headers, body, manner } = asked;
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const length = body && { "content-length": String(body.length) };
    const request = open({ hostname, port, method, path, headers: { ...headers, ...length }, agent });
    const timer = setTimeout(() => request.destroy(new Error(`no end after ${deadlineMs / 1000} s`)), deadlineMs);
    const end = (answer: Answer | null): void => {
      clearTimeout(timer);
      resolve(answer);
    };
    const leave = (): void => {
      end(null);
      request.destroy();
    };
    let hasBegun = false;
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(Object.assign(error, { isUnanswered: request.reusedSocket && !hasBegun }));
    };
    request.on("error", fail);
    request.on("response", (response) => {
      hasBegun = true;
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        // What the server says of a fault of its own is read.
        if (manner === "leaves-in-answer" && response.statusCode! < 500) leave();
      });
      response.on("error", fail);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        end({ status: response.statusCode!, headers: response.headers, text });
      });
    });
    if (manner === "leaves-in-body" && body && body.length > 1) {
      request.write(body.subarray(0, body.length >> 1), () => setTimeout(leave, PIECE_EVERY_MS));
    } else if (manner === "slow" && body) void sendSlowly(request, body);
    else request.end(body ?? undefined);
  });
}

async function sendSlowly(request: ReturnType<typeof open>, body: Buffer): Promise<void> {
  const size = Math.ceil(body.length / PIECES);
  for (let at = 0; at < body.length && !request.destroyed; at += size) {
    request.write(body.subarray(at, at + size));
    await pause(PIECE_EVERY_MS);
  }
  request.end();
}

/** What is wrong with an answer; null when nothing is. */
export function faultOf({ method, path }: FuzzedRequest, { status, headers, text }: Answer): string | null {
  if (!((status >= 200 && status < 300) || (status >= 400 && status < 500))) return `status ${status}: ${text}`;
  const type = headers["content-type"] ?? "";
  if (method === "HEAD") return text === "" ? null : "a body behind HEAD";
  if (status >= 400) return errorFault(path.split("?")[0]!, text);
  if (type.startsWith("text/event-stream")) return streamFault(text);
  if (!type.startsWith("application/json")) return null;
  return parsed(text) === undefined ? `no JSON: ${text.slice(0, 200)}` : null;
}

/** undefined for what is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface ErrorAnswer {
  readonly type?: unknown;
  readonly error?: Readonly<Record<string, unknown>>;
}

function errorFault(path: string, text: string): string | null {
  const body = parsed(text) as ErrorAnswer | null | undefined;
  const { message, type } = body?.error ?? {};
  const isError = typeof message === "string" && message !== "" && typeof type === "string";
  return isError && (!isMessagesPath(path) || body?.type === "error") ? null : `an error of another shape: ${text}`;
}

/** Last events of the streams of the APIs. */
const LAST = /^(?:message_stop|error|response\.(?:completed|incomplete|failed))$/;
/** Types of errors that are the server's own. */
const OWN_ERRORS = /"type":"(?:server_error|api_error)"/;

function streamFault(text: string): string | null {
  const data = [...text.matchAll(/^data: ?(.*)$/gm)].map(([, value]) => value!);
  const end = data.at(-1) ?? "";
  const last = parsed(end) as ErrorAnswer | null | undefined;
  const isEnd = end === "[DONE]" || last?.error !== undefined || LAST.test(String(last?.type));
  if (!text.endsWith("\n\n") || !isEnd) return `a stream without an end: ${text.slice(-300)}`;
  if (data.some((event) => event !== "[DONE]" && parsed(event) === undefined))
    return `an event that is no JSON: ${text}`;
  return data.some((event) => OWN_ERRORS.test(event)) ? `an error in the stream: ${text.slice(-500)}` : null;
}
