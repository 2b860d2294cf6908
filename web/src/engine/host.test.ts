/** @file The engine of the page's worker, with the small embedded model, in Node. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { nodePlatform } from "../../../src/node/platform.ts";
import { setPlatform } from "../../../src/platform.ts";
import { checkpointPath } from "../../../test/support/shared.ts";
import { Host } from "./host.ts";
import type { ChatEvent } from "./protocol.ts";

it("while a prompt is read, says after each piece how far it is and what the cache takes by then", async () => {
  // The page's modules install the browser's.
  setPlatform(nodePlatform);
  const folder = checkpointPath("qwen3-1m")!;
  const files = readdirSync(folder).map((name) => [name, new File([readFileSync(join(folder, name))], name)] as const);
  const { signal } = new AbortController();
  const host = new Host();
  const model = { kind: "folder", name: "small", files } as const;
  const request = { model, kv: "k4v4", backend: "wasm", weights: "auto", baseUrl: "http://page/" } as const;
  await host.load(request, () => {}, signal);
  const events: ChatEvent[] = [];
  const messages = [{ role: "user", content: "The sea was calm. ".repeat(120) }];
  const sampling = { maxNewTokens: 1, temperature: 0 };
  const { usage } = await host.chat({ conversation: "one", messages, sampling }, (event) => events.push(event), signal);

  const [first, ...rest] = events.slice(
    0,
    events.findIndex(({ type }) => type === "text"),
  );
  expect(first, "before anything is read").toEqual({ type: "prefill", done: 0, total: usage.promptTokens });
  const read = rest.flatMap((event) => (event.type === "prefill" ? [event.done] : []));
  const tokens = rest.flatMap((event) => (event.type === "cache" ? [event.cache.tokens] : []));
  const bytes = rest.flatMap((event) => (event.type === "cache" ? [event.cache.numBytes] : []));
  expect(read.length).toBeGreaterThan(1);
  expect(tokens.slice(0, read.length)).toEqual(read);
  expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
  expect(bytes[0]).toBeGreaterThan(0);
  // Loading ends the model before, and there is none here.
  await host.load({ ...request, model: { ...model, files: [] } }, () => {}, signal).catch(() => {});
});
