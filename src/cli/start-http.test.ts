/** @file The thread of the sockets: it answers while the engine's thread computes, and passes on what comes and goes. */
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AnsweredRequest } from "../server/relay-messages.ts";
import { type HttpThread, startHttp } from "./start-http.ts";

const encoder = new TextEncoder();
const LONG = 3 << 20;
/** Pieces of 16 KiB: far more than the system's buffers hold. */
const MANY = 4096;

/** Computes, so that nothing else runs in this thread. */
function compute(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

let server: HttpThread;
let made = 0;
const gone: string[] = [];
const answered: AnsweredRequest[] = [];
const faults: unknown[] = [];

/** A stream of `count` pieces that counts what was asked of it. */
function pieces(count: number, signal: AbortSignal): Response {
  made = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (made === count) controller.close();
        else controller.enqueue(encoder.encode(`${made++}\n`.padStart(16 << 10)));
      },
      cancel: () => void gone.push(signal.aborted ? "aborted" : "read to the end"),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { "x-made": "pieces" } });
}

beforeAll(async () => {
  server = await startHttp(
    {
      async fetch(request, { address }) {
        const { pathname } = new URL(request.url);
        if (pathname === "/compute") compute(1500);
        if (pathname.startsWith("/pieces/")) return pieces(Number(pathname.slice(8)), request.signal);
        if (pathname === "/throw") throw new Error("a fault");
        if (pathname === "/none") return new Response(null, { status: 204 });
        const bytes = new Uint8Array(await request.arrayBuffer());
        return Response.json({ length: bytes.length, last: bytes.at(-1), method: request.method, address });
      },
      onAnswered: (request) => void answered.push(request),
      onFault: (_id, error) => void faults.push(error),
    },
    {
      gate: { apiKeys: ["secret"], corsOrigins: [], hosts: ["127.0.0.1"], maxBodyBytes: 4 << 20 },
      listen: { host: "127.0.0.1", port: 0, requestTimeoutMs: 10_000, keepAliveMs: 5000 },
    },
  );
});
afterAll(() => server.close());

const headers = { authorization: "Bearer secret" };

/** `fetch` cannot be used beside a thread that computes, as it needs that thread: a process of its own asks. */
async function healthTimes(url: string, count: number): Promise<number[]> {
  const { execFile } = await import("node:child_process");
  const program = `(async () => { const times = []; for (let i = 0; i < ${count}; i++) { const t = performance.now();
    await (await fetch("${url}/health")).text(); times.push(performance.now() - t); await new Promise((r) => setTimeout(r, 20)); }
    console.log(JSON.stringify(times)); })()`;
  return new Promise((resolve, reject) => {
    const asked = execFile(process.execPath, ["-e", program], (error, out) =>
      error ? reject(error) : resolve(JSON.parse(out)),
    );
    asked.once("error", reject);
  });
}

describe("the thread of the sockets", () => {
  it("answers the health check while the engine computes", async () => {
    const times = healthTimes(server.url, 40);
    // The process takes a moment to start.
    await new Promise((resolve) => setTimeout(resolve, 200));
    await fetch(`${server.url}/compute`, { headers });
    expect(Math.max(...(await times))).toBeLessThan(1000);
  });

  it("passes bodies and answers on", async () => {
    const body = new Uint8Array(LONG).fill(7);
    const response = await fetch(`${server.url}/echo`, { method: "POST", headers, body });
    expect(await response.json()).toEqual({ length: LONG, last: 7, method: "POST", address: "127.0.0.1" });
    expect((await fetch(`${server.url}/none`)).status).toBe(204);
    const stream = await fetch(`${server.url}/pieces/200`);
    expect(stream.headers.get("x-made")).toBe("pieces");
    const numbers = (await stream.text()).trim().split(/\s+/).map(Number);
    expect(numbers).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  it("refuses what need not be received, and says so to the engine's thread", async () => {
    answered.length = 0;
    const post = async (more: RequestInit): Promise<number> =>
      (await fetch(`${server.url}/echo`, { method: "POST", ...more })).status;
    expect(await post({ body: "x" })).toBe(401);
    expect(await post({ headers, body: new Uint8Array(5 << 20) })).toBe(413);
    expect(await post({ headers: { ...headers, origin: "http://evil.example" }, body: "x" })).toBe(403);
    expect(answered.map(({ status }) => status)).toEqual([401, 413, 403]);
  });

  it("a fault of the engine's ends its own request", async () => {
    const response = await fetch(`${server.url}/throw`);
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ error: { code: "internal" } });
    expect(faults).toEqual([new Error("a fault")]);
    expect((await fetch(`${server.url}/none`)).status).toBe(204);
  });

  it("a slow reader is not run ahead of, and one that leaves ends its request", async () => {
    const socket = connect(server.port, "127.0.0.1");
    socket.pause();
    socket.on("error", () => {});
    socket.write(`GET /pieces/${MANY} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`);
    let before = -1;
    while (made === 0 || made !== before) {
      before = made;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(made).toBeLessThan(MANY / 2);
    socket.resetAndDestroy();
    while (gone.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(gone).toEqual(["aborted"]);
  });

  it("the health check says that the server ends", async () => {
    server.drain();
    let status = 200;
    while (status === 200) status = (await fetch(`${server.url}/health`)).status;
    expect(status).toBe(503);
    await server.stop();
    await expect(fetch(`${server.url}/health`)).rejects.toThrow();
  });
});
