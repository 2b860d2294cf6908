/** @file Two servers and one folder: the second answers from pages that the first has computed, and says so. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { openPageStore } from "../node/page-store/open-page-store.ts";

const PROMPT = "The password of the safe is seven, three, nine and then it is four. ".repeat(3);

let folder: string;
let servers: TestServer[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "page-store-"));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) await server.stop();
  rmSync(folder, { recursive: true });
});

async function start(apiKeys: readonly string[] = []): Promise<TestServer> {
  const store = await openPageStore(`folder:${folder}`);
  const server = await startServer({
    fake: {},
    scheduler: { pageStore: { store, fetch: "always" } },
    server: { apiKeys },
  });
  servers.push(server);
  return server;
}

async function ask({ post }: TestServer, headers: Record<string, string> = {}) {
  const body = { prompt: PROMPT, max_tokens: 4, temperature: 0, ignore_eos: true, logprobs: 1 };
  const { status, json } = await post("/v1/completions", body, headers);
  expect(status).toBe(200);
  return { cached: json.usage.prompt_tokens_details.cached_tokens, choice: json.choices[0] };
}

const metrics = async ({ url }: TestServer): Promise<string> => (await fetch(`${url}/metrics`)).text();

it("takes another server's pages, answers alike, and counts", async () => {
  const a = await start();
  const first = await ask(a);
  expect(first.cached).toBe(0);
  await a.scheduler.drain();
  expect(await metrics(a)).toMatch(/page_store_writes_total\{.*outcome="written"\} [1-9]/);
  const b = await start();
  const second = await ask(b);
  expect(second.cached).toBeGreaterThanOrEqual(64);
  expect(second.choice).toEqual(first.choice);
  const text = await metrics(b);
  expect(text).toMatch(/page_store_fetches_total\{.*outcome="hit"\} 1\n/);
  expect(text).toMatch(new RegExp(`page_store_tokens_total\\{.*\\} ${second.cached}\\n`));
  expect(text).toMatch(/page_store_read_bytes_total\{.*\} [1-9]/);
  expect(text).toMatch(/page_store_fetch_seconds_count\{.*\} 1\n/);
});

it("keeps the keys of clients apart", async () => {
  const [one, other] = ["one", "other"].map((key) => ({ authorization: `Bearer ${key}` }));
  const a = await start(["one", "other"]);
  await ask(a, one);
  await a.scheduler.drain();
  const b = await start(["one", "other"]);
  expect((await ask(b, other)).cached).toBe(0);
  expect((await ask(b, one)).cached).toBeGreaterThanOrEqual(64);
});
