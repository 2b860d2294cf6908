/** @file Clients with different keys are apart: kept prefixes, slots and saved conversations are their own. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { slotFiles } from "../node/slot-files.ts";

const PROMPT = "The password of the safe is seven, three, nine and then it is four. ".repeat(3);
const [A, B] = ["key-a", "key-b"].map((key) => ({ authorization: `Bearer ${key}` }));

let folder: string;
let server: TestServer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "owners-"));
  server = await startServer({
    fake: {},
    scheduler: { maxRunning: 4 },
    server: { apiKeys: ["key-a", "key-b"], slotStore: slotFiles(folder) },
  });
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

async function cached(headers: Record<string, string>, more: object = {}, prompt = PROMPT): Promise<number> {
  const body = { prompt, max_tokens: 4, temperature: 0, ignore_eos: true, ...more };
  const { status, json } = await server.post("/v1/completions", body, headers);
  expect(status).toBe(200);
  return json.usage.prompt_tokens_details.cached_tokens;
}
const slot = (headers: Record<string, string>, id: number, action: string) =>
  server.post(`/slots/${id}?action=${action}`, { filename: "talk" }, headers);

it("nobody learns from cached tokens what others have said", async () => {
  expect(await cached(A!)).toBe(0);
  expect(await cached(A!)).toBeGreaterThan(100);
  expect(await cached(B!)).toBe(0);
  expect(await cached(B!)).toBeGreaterThan(100);
  // Shorter than a page: found by its tokens alone.
  const longer = "It is four. And five, which comes next, is more than four.";
  expect(await cached(A!, { max_tokens: 1 }, "It is four.")).toBe(0);
  expect(await cached(A!, { max_tokens: 1 }, longer)).toBeGreaterThan(0);
  expect(await cached(B!, { max_tokens: 1 }, longer)).toBe(0);
});

it("a salt sets prompts of one key apart", async () => {
  expect(await cached(A!, { cache_salt: "x" })).toBe(0);
  expect(await cached(A!, { cache_salt: "x" })).toBeGreaterThan(100);
  expect(await cached(A!, { cache_salt: "y" })).toBe(0);
});

it("a conversation with a salt is nobody's among the slots, which name no salt", async () => {
  await cached(A!, { cache_salt: "x", id_slot: 1 });
  const slots = (await (await fetch(`${server.url}/slots`, { headers: A! })).json()) as object[];
  expect(slots[1]).toMatchObject({ is_processing: false, n_tokens: 0, kv_bytes: 0 });
  expect(await slot(A!, 1, "save")).toMatchObject({ status: 400, json: { error: { code: "empty_slot" } } });
  expect(await slot(A!, 1, "erase")).toMatchObject({ status: 200, json: { n_erased: 0 } });
  expect(await cached(A!, { cache_salt: "x" })).toBeGreaterThan(100);
});

it("slots, and what is saved of them, belong to the key that filled them", async () => {
  await cached(A!, { id_slot: 3 });
  const tokens = async (headers: Record<string, string>): Promise<number> => {
    const response = await fetch(`${server.url}/slots`, { headers });
    return ((await response.json()) as { n_tokens: number }[])[3]!.n_tokens;
  };
  expect(await tokens(A!)).toBeGreaterThan(100);
  expect(await tokens(B!)).toBe(0);
  expect(await slot(B!, 3, "save")).toMatchObject({ status: 400, json: { error: { code: "empty_slot" } } });
  expect(await slot(A!, 3, "save")).toMatchObject({ status: 200, json: { filename: "talk" } });
  expect(await slot(B!, 2, "restore")).toMatchObject({ status: 400 });
  expect(await slot(B!, 3, "erase")).toMatchObject({ status: 200, json: { n_erased: 0 } });
  expect(await tokens(A!)).toBeGreaterThan(100);
  expect(await slot(A!, 2, "restore")).toMatchObject({ status: 200, json: { filename: "talk" } });
  expect(readdirSync(folder)).toEqual([expect.stringMatching(/^[0-9a-f]{16}-talk$/)]);
  expect((await slot(A!, 2, "erase")).json.n_erased).toBeGreaterThan(100);
});
