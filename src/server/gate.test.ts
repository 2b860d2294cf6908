/** @file What the thread of the sockets tells that of the engine, in which order, and how often. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { Gate } from "./gate.ts";
import type { ToEngine } from "./relay-messages.ts";

let gate: Gate;
let engine: MessagePort;
let told: ToEngine[];
let health: () => void;
beforeEach(() => {
  const { port1, port2 } = new MessageChannel();
  engine = port1;
  told = [];
  port1.onmessage = ({ data }: MessageEvent<ToEngine>) => {
    told.push(data);
    if (data.kind === "answered" && data.route === "/health") health();
  };
  gate = new Gate(port2, { apiKeys: [], corsOrigins: [], hosts: null, maxBodyBytes: 1000 });
});
afterEach(() => {
  gate.close();
  engine.close();
});

const ask = (signal: AbortSignal, body: RequestInit["body"] = "x"): Promise<Response> =>
  gate.fetch(
    new Request("http://localhost/v1/completions", { method: "POST", body, signal, duplex: "half" } as RequestInit),
    "",
  );

/** All that was told until now, without the health check that shows that it has arrived. */
async function all(): Promise<string[]> {
  const arrived = new Promise<void>((resolve) => {
    health = resolve;
  });
  await gate.fetch(new Request("http://localhost/health"), "");
  await arrived;
  return told
    .slice(0, -1)
    .map((message) => (message.kind === "answered" ? `answered ${message.status}` : message.kind));
}

it("a client that left before its request had arrived is not the engine's, and is logged once", async () => {
  const client = new AbortController();
  const body = new ReadableStream({
    pull(controller) {
      client.abort();
      controller.enqueue(new Uint8Array(1));
      controller.close();
    },
  });
  expect((await ask(client.signal, body)).status).toBe(499);
  expect(await all()).toEqual(["answered 499"]);
});

it("one that left is told of after its request, and logged by the engine alone", async () => {
  const client = new AbortController();
  const answer = ask(client.signal);
  await expect.poll(() => told.length).toBe(1);
  client.abort();
  expect((await answer).status).toBe(499);
  expect(await all()).toEqual(["request", "leave"]);
});

it("a fault of its own is told of with the error", async () => {
  const broken = { method: "POST", url: "http://localhost/", headers: null, signal: new AbortController().signal };
  expect((await gate.fetch(broken as unknown as Request, "")).status).toBe(500);
  expect(await all()).toEqual(["answered 500"]);
  expect(told[0]).toMatchObject({ fault: expect.stringContaining("TypeError") });
});
