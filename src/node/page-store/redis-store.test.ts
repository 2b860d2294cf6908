/** @file Pages in a real Redis: between engines, while it is killed, hangs and comes back, and addresses that name none. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { loadFake } from "../../../test/support/fake-ops.ts";
import { NO_REDIS, startRedis, type TestRedis } from "../../../test/support/redis.ts";
import { alone, answers, randomPrompt, SEEDED, said } from "../../../test/support/scheduled.ts";
import type { LLM } from "../../engine/llm.ts";
import type { PageStoreOptions } from "../../engine/page-store/page-store.ts";
import { Scheduler } from "../../engine/scheduler/scheduler.ts";
import { openPageStore } from "./open-page-store.ts";

const KEY = "a".repeat(64);
const OPTIONS = { ...SEEDED, maxNewTokens: 4 } as const;
const { signal } = new AbortController();

describe.skipIf(NO_REDIS)(`pages in Redis${NO_REDIS ? ` (${NO_REDIS})` : ""}`, () => {
  let redis: TestRedis;
  let endings: (() => Promise<void>)[];
  beforeEach(async () => {
    redis = await startRedis();
    endings = [];
  });
  afterEach(async () => {
    for (const end of endings.reverse()) await end();
    await redis.dispose();
  });

  async function open() {
    const store = await openPageStore(redis.url, { keepSeconds: 1000 });
    endings.push(() => store.close());
    return store;
  }

  /** An engine of its own over the store; what it fetched. */
  async function engine(options: Partial<PageStoreOptions> = {}) {
    const { llm } = await loadFake();
    const outcomes: string[] = [];
    const scheduler = new Scheduler(llm, {
      pageStore: { store: await open(), fetch: "always", ...options },
      observer: { onStoreFetch: (outcome) => void outcomes.push(outcome) },
    });
    endings.push(async () => {
      await scheduler.close();
      await llm.dispose();
    });
    return { llm, scheduler, outcomes };
  }

  const ask = async ({ scheduler }: { scheduler: Scheduler }, ids: readonly number[]) =>
    (await answers(scheduler.generate(ids, OPTIONS)))[0]!;
  const expected = async (llm: LLM, ids: readonly number[]) => said(await alone(llm, ids, OPTIONS));

  it("gives what was put, within the bytes that are asked for, and nothing else", async () => {
    const store = await open();
    const value = Uint8Array.from({ length: 1000 }, (_, i) => i);
    await store.put(KEY, value, signal);
    const other = await open();
    expect(await other.has([KEY, "b".repeat(64)], signal)).toEqual([true, false]);
    expect(await other.get(KEY, 1000, signal)).toEqual(value);
    expect(await other.get(KEY, 999, signal)).toBeNull();
    expect(await other.get("b".repeat(64), 1000, signal)).toBeNull();
    expect(store.name).toBe(redis.url);
  });

  it("lets an engine continue from another's pages", async () => {
    const prompt = randomPrompt(300, 1);
    const a = await engine();
    const first = await ask(a, prompt);
    await a.scheduler.drain();
    const b = await engine();
    const second = await ask(b, prompt);
    expect(second.cached).toBe(256);
    expect(said(second)).toEqual(said(first));
  });

  it("loses no request and changes no answer when it is killed and comes back empty", async () => {
    // Each question of the time is later than any pause.
    let time = 0;
    const now = (): number => (time += 1e6);
    const [a, b] = [await engine({ now }), await engine({ now })];
    const prompts = Array.from({ length: 8 }, (_, i) => randomPrompt(140 + 20 * i, 10 + (i % 4)));
    const alike = async () => {
      const asked = [a, b].flatMap((own) => prompts.map((prompt) => [own, prompt] as const));
      const all = await Promise.all(asked.map(([own, prompt]) => ask(own, prompt)));
      for (const [i, [{ llm }, prompt]] of asked.entries()) expect(said(all[i]!)).toEqual(await expected(llm, prompt));
    };
    const running = alike();
    await redis.kill();
    await running;
    await alike();
    await redis.restart();
    const again = alike();
    await again;
    // A new engine finds what the others write, as soon as they are connected again.
    const c = await engine({ now });
    for (let seed = 100; !c.outcomes.includes("hit"); seed++) {
      const prompt = randomPrompt(200, seed);
      expect(said(await ask(a, prompt))).toEqual(await expected(a.llm, prompt));
      await vi.waitUntil(() => a.scheduler.stats.storeQueueBytes === 0, { timeout: 30_000 });
      expect(said(await ask(c, prompt))).toEqual(await expected(c.llm, prompt));
    }
  });

  it("holds requests up for no longer than the limit when it hangs", async () => {
    const notes: string[] = [];
    const a = await engine({ timeoutMs: 50, onNote: (note) => notes.push(note), now: () => 0 });
    redis.hang(true);
    for (const seed of [1, 2, 3]) {
      const prompt = randomPrompt(200, seed);
      expect(said(await ask(a, prompt))).toEqual(await expected(a.llm, prompt));
    }
    expect(a.outcomes).toEqual(["failed", "skipped", "skipped"]);
    expect(notes).toEqual(["fails (no answer within 50 ms); requests go on without it"]);
    redis.hang(false);
  });
});

describe("a server that takes connections and is no Redis yet", () => {
  let server: Server;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    server = createServer((socket) => void sockets.push(socket.on("error", () => {})));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(async () => {
    vi.useRealTimers();
    for (const socket of sockets.splice(0)) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const open = () => openPageStore(`redis://127.0.0.1:${(server.address() as AddressInfo).port}`);

  it.each([
    ["is silent", () => void vi.advanceTimersByTime(2_000)],
    ["closes them at once", (socket: Socket) => void socket.end()],
  ])("is opened where it %s, and fails until it answers", async (_, act) => {
    server.once("connection", act);
    const store = await open();
    await expect(store.has([KEY], signal)).rejects.toThrow("not connected");
    await store.close();
  });
});

it.each(["redis:", "redis:///0", "redis://host/name", "redis://host/0?x=1", "valkey://user:secret@host:port"])(
  "refuses %s in one line, without its password",
  async (address) => {
    const error = await openPageStore(address).catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/^--page-store: expected .*redis:/),
    });
    expect((error as Error).message).not.toMatch(/secret|\n/);
  },
);
