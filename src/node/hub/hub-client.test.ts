import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HubClient } from "./hub-client.ts";

/** Sends the headers and some bytes of an answer, then nothing. */
let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer((_, response) => response.writeHead(200, { "Content-Length": 100_000 }).write("begun"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** Collects garbage while the answer waits: what only the request knew of the signal is gone then. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function readAll(client: HubClient, onBytes: () => void): Promise<void> {
  await client.open(url, {}, async ({ chunks }) => {
    for await (const _ of chunks) onBytes();
  });
}

describe("HubClient.open, of an answer that stops coming", () => {
  it("ends when the caller's signal aborts, with its reason", async () => {
    const stop = new AbortController();
    const client = new HubClient({ endpoint: url, token: null, signal: stop.signal });
    let begun!: () => void;
    const hasBegun = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const ended = readAll(client, begun).catch((error: unknown) => error);
    await hasBegun;
    await collectGarbage();
    stop.abort("the user's reason");
    expect(await ended).toBe("the user's reason");
  });

  it("ends after a time of silence, and says so", async () => {
    const client = new HubClient({ endpoint: url, token: null, silenceMs: 100 });
    const ended = expect(readAll(client, () => {})).rejects.toThrow("nothing came for 0 s");
    await collectGarbage();
    await ended;
  });
});
