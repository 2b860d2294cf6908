/** @file A static server for a built page: any folder, with or without the headers for shared memory. */
import { readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
};

export interface StaticServerOptions {
  /** Send Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy. Default true. */
  readonly isolated?: boolean;
  /** Looked at first; true when it answered. */
  readonly handle?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** An answer with a body that is at hand. */
export const answerWith =
  (type: string, body: string | Buffer): Answer =>
  (_request, response) => {
    response.setHeader("Content-Type", type).end(body);
  };

/** A `handle` for paths that have an answer of their own. */
export function answering(answers: Readonly<Record<string, Answer>>): NonNullable<StaticServerOptions["handle"]> {
  return (request, response) => {
    const answer = answers[request.url!.split("?")[0]!];
    answer?.(request, response);
    return answer !== undefined;
  };
}

export interface StaticServer {
  readonly url: string;
  close(): Promise<void>;
}

export async function serveFolder(
  folder: string,
  { isolated = true, handle }: StaticServerOptions = {},
): Promise<StaticServer> {
  const server = createServer((request, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    if (handle?.(request, response)) return;
    const asked = normalize(decodeURIComponent(request.url!.split("?")[0]!));
    const path = join(folder, asked.endsWith("/") ? `${asked}index.html` : asked);
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined || !path.startsWith(folder)) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
    response.setHeader("Content-Length", size);
    if (request.method === "HEAD") response.end();
    else response.end(readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
