/** @file A web server for browser tests: files of the repository, and paths with an answer of their own. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { repoRoot } from "./shared.ts";

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface StaticServer {
  readonly url: string;
  close(): void;
}

export const answerWith =
  (type: string, body: string | Buffer): Answer =>
  (_request, response) => {
    response.setHeader("Content-Type", type).end(body);
  };

/** answers: by path · onRequest: runs first, for headers that all answers have */
export async function serveRepository(
  answers: Readonly<Record<string, Answer>>,
  onRequest: Answer = () => {},
): Promise<StaticServer> {
  const server = createServer((request, response) => {
    const path = request.url!.split("?")[0]!;
    onRequest(request, response);
    const answer = answers[path];
    if (answer) return answer(request, response);
    try {
      const bytes = readFileSync(join(repoRoot, path));
      if (request.method === "HEAD") response.setHeader("Content-Length", bytes.length).end();
      else response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close: () => server.close() };
}
