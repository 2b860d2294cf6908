/** @file Answers to requests that the HTTP library refuses before they reach the application: the API's error, where Node sends a status alone. */
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { ApiError } from "../server/api-error.ts";

/** By the code of the parser's error; what is not here is 400. */
const REFUSALS: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, "the headers are too long; send fewer or shorter ones"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "the extensions of a chunk are too long; send chunks without any"],
  ERR_HTTP_REQUEST_TIMEOUT: [
    408,
    "the request did not come in time; send it faster, or start the server with a larger --request-timeout",
  ],
};

/** The error as clients of both APIs read it, as the path may not be known. */
const bodyOf = (status: number, message: string): string => JSON.stringify(new ApiError(status, message).messagesBody);

const malformed = "not a valid HTTP request; check its first line, its headers and its length";

/** For a request whose URL or host cannot be read. */
export const malformedRequest = (): Response =>
  new Response(bodyOf(400, "the path or the Host header is none; check the address"), {
    status: 400,
    headers: { "content-type": "application/json" },
  });

/** Gives what Node refuses by itself the API's errors. */
export function answerUnread(server: Server): void {
  /** The answers of a connection that are not finished: a client may ask before it has read the answer before. */
  const answers = new WeakMap<Socket, Set<ServerResponse>>();
  server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    const own = answers.get(socket) ?? new Set();
    answers.set(socket, own.add(response));
    response.once("close", () => own.delete(response));
  });
  server.on("checkExpectation", (_: IncomingMessage, response: ServerResponse) => {
    // The body that the client holds back is not waited for.
    response.writeHead(417, { "content-type": "application/json", connection: "close" });
    response.end(bodyOf(417, "Expect: the server knows 100-continue alone; leave the header out"));
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    // Behind the beginning of an answer nothing else can be said.
    const isAnswering = [...(answers.get(socket) ?? [])].some(
      (answer) => answer.headersSent && !answer.writableFinished,
    );
    if (!socket.writable || isAnswering || error.code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    const [status, message] = REFUSALS[error.code ?? ""] ?? [400, malformed];
    const body = bodyOf(status, message);
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      () => socket.destroy(),
    );
  });
}
