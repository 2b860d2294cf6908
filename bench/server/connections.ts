/** @file Thousands of connections that say nothing, and a reader of one byte a second, beside requests as usual. */
import { connect, type Socket } from "node:net";
import { median, quantile, randomTokens } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";
import { type CompletionRequest, type Streamed, stream } from "./stream.ts";

/** Connections that are being opened at once; more than a listen queue holds would measure the kernel's retries. */
const OPENING = 200;
/** After this long the server has to have closed what never sent a request. */
const REQUEST_TIMEOUT_S = 20;
/** What the server may take on top: it looks for silent connections every few seconds. */
const CLOSE_LIMIT_MS = (REQUEST_TIMEOUT_S + 30) * 1000;
const REQUEST: CompletionRequest = {
  prompt: randomTokens(7000, 64),
  max_tokens: 64,
  temperature: 0,
  ignore_eos: true,
  cache_prompt: false,
};

/** Opens `count` connections, a quarter of which begin a request and stop within its headers. */
async function openIdle(port: number, count: number): Promise<{ sockets: Socket[]; failures: string[] }> {
  const sockets: Socket[] = [];
  const failures: string[] = [];
  let opened = 0;
  const worker = async (): Promise<void> => {
    while (opened < count) {
      const number = opened++;
      await new Promise<void>((resolve) => {
        const socket = connect(port, "127.0.0.1", () => {
          if (number % 4 === 0) socket.write("POST /v1/completions HTTP/1.1\r\nhost: loc");
          sockets.push(socket);
          resolve();
        });
        socket.on("error", (error: NodeJS.ErrnoException) => {
          failures.push(error.code ?? error.message);
          resolve();
        });
        // Without a reader the end of the other side would go unnoticed.
        socket.resume();
      });
    }
  };
  await Promise.all(Array.from({ length: OPENING }, worker));
  return { sockets, failures };
}

/** A client that asks for a long answer and takes one byte of it a second. */
function readSlowly(port: number): { socket: Socket; bytes: () => number; stop: () => void } {
  const body = JSON.stringify({ ...REQUEST, max_tokens: 2000, stream: true });
  const socket = connect(port, "127.0.0.1");
  let bytes = 0;
  socket.on("error", () => {});
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  const timer = setInterval(() => {
    if (socket.read(1)) bytes++;
  }, 1000);
  return {
    socket,
    bytes: () => bytes,
    stop: () => {
      clearInterval(timer);
      socket.destroy();
    },
  };
}

export async function measureConnections(count: number, repeats: number, serve: readonly string[]) {
  const limit = ["--request-timeout", String(REQUEST_TIMEOUT_S)];
  const server = await ServerProcess.start(["--kv-budget", "64MB", ...limit, ...serve]);
  const port = Number(new URL(server.url).port);
  try {
    const failed: string[] = [];
    const ask = async (times: number): Promise<Streamed[]> => {
      const answers: Streamed[] = [];
      for (let i = 0; i < times; i++) {
        const answer = await stream(server.url, REQUEST).catch((error: Error) => void failed.push(error.message));
        if (answer) answers.push(answer);
      }
      return answers;
    };
    await ask(5);
    const before = await ask(repeats);
    const expected = before[0]?.text;
    const residentBefore = server.residentBytes();
    const started = performance.now();
    const slow = readSlowly(port);
    const { sockets, failures } = await openIdle(port, count);
    const openedMs = performance.now() - started;
    const open = sockets.filter((socket) => !socket.closed).length;
    const residentOpen = server.residentBytes();
    const beside = await ask(repeats);
    const stillOpen = sockets.filter((socket) => !socket.closed).length;
    // Every one of them is closed by the server, not by us.
    const end = started + openedMs + CLOSE_LIMIT_MS;
    const left = (): number => sockets.filter((socket) => !socket.closed).length;
    while (left() > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 200));
    const closedMs = performance.now() - started;
    const leftOpen = left();
    const after = await ask(repeats);
    const slowBytes = slow.bytes();
    const isSlowOpen = !slow.socket.closed;
    slow.stop();
    for (const socket of sockets) socket.destroy();
    const ttft = (answers: readonly Streamed[]): number => median(answers.map(({ ttftMs }) => ttftMs));
    return {
      test: "connections",
      kv: server.kv,
      connections: count,
      open_at_once: open,
      open_after_requests: stillOpen,
      refused: failures.length,
      refusals: [...new Set(failures)].slice(0, 5),
      opened_ms: openedMs,
      request_timeout_s: REQUEST_TIMEOUT_S,
      closed_by_server: sockets.length - leftOpen,
      closed_after_ms: closedMs,
      bytes_per_connection: (residentOpen - residentBefore) / Math.max(1, open),
      ttft_ms_before: ttft(before),
      ttft_ms_beside: ttft(beside),
      ttft_ms_beside_p99: quantile(
        beside.map(({ ttftMs }) => ttftMs),
        0.99,
      ),
      ttft_ms_after: ttft(after),
      total_ms_before: median(before.map(({ totalMs }) => totalMs)),
      total_ms_beside: median(beside.map(({ totalMs }) => totalMs)),
      failed_requests: failed.length,
      wrong_answers: [...before, ...beside, ...after].filter(({ text }) => text !== expected).length,
      slow_reader_bytes: slowBytes,
      slow_reader_open: isSlowOpen,
    };
  } finally {
    await server.stop();
  }
}
