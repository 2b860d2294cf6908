/** @file The thread of the sockets: it answers while the engine's thread computes, and passes on what comes and goes. */
import { spawnSync } from "node:child_process";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AnsweredRequest } from "../server/relay-messages.ts";
import { type HttpThread, startHttp } from "./start-http.ts";

const encoder = new TextEncoder();
const LONG = 3 << 20;
/** Pieces of 16 KiB: far more than the system's buffers hold. */
const MANY = 4096;

/**
 * Holds this thread, in which nothing else runs meanwhile, until a process of its own has been told that the server is well.
 * returns: what it was told
 */
function healthWhileHeld(url: string): string {
  const program = `fetch("${url}/health").then(async (r) => console.log(r.status, await r.text()))`;
  return spawnSync(process.execPath, ["-e", program], { encoding: "utf8", timeout: 60_000 }).stdout;
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
        if (pathname === "/compute") return new Response(healthWhileHeld(server.url));
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

describe("the thread of the sockets", () => {
  it("answers the health check while the engine computes", async () => {
    const response = await fetch(`${server.url}/compute`, { headers });
    expect(await response.text()).toMatch(/^200 .*ok/);
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

  it("answers what is no request with the error of both APIs, and closes", async () => {
    const told = (text: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect(server.port, "127.0.0.1");
        let answer = "";
        socket.on("data", (data) => {
          answer += data;
        });
        socket.on("error", reject);
        socket.on("close", () => resolve(answer));
        socket.write(text);
      });
    const wrong: [number, string][] = [
      [400, "nonsense\r\n\r\n"],
      [400, "GET /none HTTP/1.1\r\nhost: [::1\r\nconnection: close\r\n\r\n"],
      [417, "GET /none HTTP/1.1\r\nhost: 127.0.0.1\r\nexpect: something\r\n\r\n"],
      [431, `GET /none HTTP/1.1\r\nhost: 127.0.0.1\r\nx-large: ${"a".repeat(20_000)}\r\n\r\n`],
    ];
    for (const [status, text] of wrong) {
      const answer = await told(text);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      const error = { message: expect.any(String), type: "invalid_request_error", param: null, code: null };
      expect(JSON.parse(/\{.*\}/.exec(answer)![0])).toEqual({ type: "error", error });
    }
    expect((await fetch(`${server.url}/none`)).status).toBe(204);
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
