import { createServer } from "node:net";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { isConnectionClosed, reasonsOf } from "../bench/server/connection-error.ts";

test("a connection that is closed under a request is told from one that is refused", async () => {
  const server = createServer((socket) => socket.once("data", () => socket.destroy()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const api = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: "none", maxRetries: 0 });
  const ask = (): Promise<unknown> => api.models.list().then(String, (error: unknown) => error);
  const closed = await ask();
  expect(reasonsOf(closed)).toMatch(/^Connection error\.: fetch failed: ./);
  expect(isConnectionClosed(closed)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  const refused = await ask();
  expect(reasonsOf(refused)).toContain("ECONNREFUSED");
  expect(isConnectionClosed(refused)).toBe(false);
});
