/** @file A real server on a free port of loopback, in this process, and its sockets in this thread. */
import "../../src/node/install.ts";
import OpenAI from "openai";
import { listen, remoteAddress } from "../../src/cli/http-server.ts";
import { LLM } from "../../src/engine/llm.ts";
import type { LoadOptions } from "../../src/engine/load-options.ts";
import { Scheduler } from "../../src/engine/scheduler/scheduler.ts";
import type { SchedulerOptions } from "../../src/engine/scheduler/scheduler-options.ts";
import { relayedApp } from "../../src/server/app.ts";
import { Gate } from "../../src/server/gate.ts";
import { oneModel } from "../../src/server/models.ts";
import { Relay } from "../../src/server/relay.ts";
import type { ServerOptions } from "../../src/server/server-context.ts";
import { ServerMetrics } from "../../src/server/server-metrics.ts";
import type { TextWork } from "../../src/server/text-work.ts";
import { type FakeOptions, loadFake } from "./fake-ops.ts";

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly llm: LLM;
  readonly scheduler: Scheduler;
  /** The official client, without retries. */
  readonly client: OpenAI;
  /** Lines that the server logged. */
  readonly log: { level: string; fields: object; message: string }[];
  /** POSTs JSON (or a body as it stands) and returns status and parsed answer. */
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<PostResult>;
  stop(): Promise<void>;
}

export interface PostResult {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: of any form; tests look into it
  readonly json: any;
  readonly headers: Headers;
}

export interface TestServerOptions {
  readonly model?: string;
  /** Over the fake backend and, where no model is named, its checkpoint, whose answers are hashes: for tests that need none of a model's numbers. */
  readonly fake?: FakeOptions;
  readonly load?: Omit<LoadOptions, "backend">;
  readonly scheduler?: SchedulerOptions;
  readonly server?: Partial<ServerOptions>;
  /** Default: the model's own. */
  readonly modelNames?: readonly string[];
  /** Default: done in this thread. */
  readonly text?: TextWork;
  /** Default: a mebibyte. */
  readonly maxBodyBytes?: number;
  readonly requestTimeoutMs?: number;
  readonly keepAliveMs?: number;
}

export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const llm = options.fake
    ? (await loadFake(options.fake, options.load, options.model)).llm
    : await LLM.load(options.model ?? "qwen3-3m", { backend: "wasm", threads: 2, ...options.load });
  const log: TestServer["log"] = [];
  const logAt = (level: string) => (fields: object, message: string) => void log.push({ level, fields, message });
  const logger = { info: logAt("info"), warn: logAt("warn"), error: logAt("error") };
  const metrics = new ServerMetrics({ modelNames: [llm.name], kv: llm.decoder.kv.text });
  const own = metrics.of(llm.name);
  const scheduler = new Scheduler(llm, { observer: own, ...options.scheduler });
  own.watch(() => scheduler.stats);
  if (options.scheduler?.pageStore) own.watchPageStore(() => scheduler.stats);
  const access = {
    apiKeys: options.server?.apiKeys ?? [],
    corsOrigins: options.server?.corsOrigins ?? [],
    hosts: ["localhost", "127.0.0.1"],
  };
  const app = relayedApp({
    ...access,
    models: oneModel(options.modelNames ?? [llm.name], { llm, scheduler, ...(options.text && { text: options.text }) }),
    metrics,
    logger,
    timeoutMs: 60_000,
    slotStore: null,
    staticFiles: null,
    version: "test",
    ...options.server,
  });
  const { port1, port2 } = new MessageChannel();
  const relay = new Relay(port1, app);
  const gate = new Gate(port2, { ...access, maxBodyBytes: options.maxBodyBytes ?? 1 << 20 });
  const server = await listen((request, env) => gate.fetch(request, remoteAddress(env)), {
    host: "127.0.0.1",
    port: 0,
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    keepAliveMs: options.keepAliveMs ?? 5_000,
  });
  return {
    url: server.url,
    port: server.port,
    llm,
    scheduler,
    client: new OpenAI({
      baseURL: `${server.url}/v1`,
      apiKey: options.server?.apiKeys?.[0] ?? "none",
      maxRetries: 0,
      timeout: 60_000,
    }),
    log,
    async post(path, body, headers = {}) {
      const response = await fetch(server.url + path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
        signal: AbortSignal.timeout(60_000),
      });
      return { status: response.status, json: await response.json(), headers: response.headers };
    },
    async stop() {
      const closed = server.stop();
      await scheduler.close();
      server.destroy();
      await closed;
      relay.close();
      gate.close();
      await llm.dispose();
    },
  };
}

/** Waits until something is so; fails after `limitMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 60_000,
): Promise<void> {
  const started = performance.now();
  while (!(await condition())) {
    if (performance.now() - started > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
