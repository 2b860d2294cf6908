/** @file Conversations saved to disk over HTTP, restored by another server, damaged, erased. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { slotFiles } from "../node/slot-files.ts";

const PROMPT = `${"The ship sailed on through the night. ".repeat(20)}Then`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "slots-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const start = (): Promise<TestServer> =>
  startServer({
    model: "qwen3-1m",
    load: { threads: 1 },
    scheduler: { maxRunning: 3 },
    server: { slotStore: slotFiles(join(folder, "slots")) },
  });

const complete = async (server: TestServer, prompt: string, more: object = {}) => {
  const { status, json } = await server.post("/v1/completions", {
    prompt,
    max_tokens: 12,
    temperature: 0,
    ignore_eos: true,
    ...more,
  });
  expect(status).toBe(200);
  return {
    text: json.choices[0].text as string,
    cached: json.usage.prompt_tokens_details.cached_tokens as number,
    total: json.usage.total_tokens as number,
  };
};

it("save, restore in another server, go on from there to the same text; erase", async () => {
  const first = await start();
  const { text } = await complete(first, PROMPT, { id_slot: 1 });
  const expected = await complete(first, `${PROMPT}${text} And so it was that the ship came home at last`, {
    cache_prompt: false,
  });
  const slots = (await (await fetch(`${first.url}/slots`)).json()) as {
    id: number;
    n_tokens: number;
    is_processing: boolean;
  }[];
  expect(slots.map(({ id, is_processing }) => [id, is_processing])).toEqual([
    [0, false],
    [1, false],
    [2, false],
  ]);
  expect(slots[1]!.n_tokens).toBeGreaterThan(100);
  const saved = await first.post("/slots/1?action=save", { filename: "story.tqkv" });
  expect(saved).toMatchObject({
    status: 200,
    json: { id_slot: 1, filename: "story.tqkv", n_saved: slots[1]!.n_tokens },
  });
  const file = join(folder, "slots", "story.tqkv");
  expect(readFileSync(file).length).toBe(saved.json.n_written);
  expect(readdirSync(join(folder, "slots")), "nothing half written").toEqual(["story.tqkv"]);
  expect((await first.post("/slots/2?action=save", { filename: "x" })).json.error.code).toBe("empty_slot");
  await first.stop();

  const second = await start();
  const restored = await second.post("/slots/0?action=restore", { filename: "story.tqkv" });
  expect(restored).toMatchObject({
    status: 200,
    json: { n_restored: saved.json.n_saved, n_read: saved.json.n_written },
  });
  const again = await complete(second, `${PROMPT}${text} And so it was that the ship came home at last`);
  expect(again.text).toBe(expected.text);
  expect(again.cached).toBe(saved.json.n_saved);
  expect((await second.post("/slots/0?action=erase", {})).json).toMatchObject({
    id_slot: 0,
    n_erased: again.total - 1,
  });
  expect((await second.post("/slots/0?action=erase", {})).json.n_erased).toBe(0);

  // Damaged, cut off, empty, absent, of another name: refused, and the server goes on.
  const bytes = readFileSync(file);
  const damaged = Buffer.from(bytes);
  damaged[bytes.length >> 1]! ^= 4;
  for (const [name, content] of [
    ["damaged", damaged],
    ["cut", bytes.subarray(0, bytes.length - 10)],
    ["empty", Buffer.alloc(0)],
    ["text", Buffer.from("hello")],
  ] as const) {
    writeFileSync(join(folder, "slots", name), content);
    const answer = await second.post("/slots/0?action=restore", { filename: name });
    expect(answer.status, name).toBe(400);
    expect(answer.json.error.code, name).toBe("invalid_file");
  }
  expect((await second.post("/slots/0?action=restore", { filename: "absent" })).status).toBe(400);
  for (const filename of ["../story.tqkv", "/etc/passwd", "a/b", ".hidden", "", "a\\b"]) {
    expect((await second.post("/slots/0?action=save", { filename })).json.error.param, filename).toBe("filename");
  }
  expect(existsSync(join(folder, "story.tqkv"))).toBe(false);
  expect((await complete(second, "Once")).text.length).toBeGreaterThan(0);
  await second.stop();
});
