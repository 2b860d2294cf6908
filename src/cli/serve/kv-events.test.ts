/** @file `serve --kv-events`: a router that follows the events knows what each server has of a prompt, also while prefixes are evicted. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Subscriber } from "zeromq";
import "../../node/install.ts";
import { captureIo, runCommand } from "../../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../../test/support/fake-checkpoint.ts";
import { BlockIndex, eventOf, replay, unpack } from "../../../test/support/kv-events.ts";
import { until } from "../../../test/support/server.ts";
import { runCli } from "../run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "kv-events-"));
const SERVE = ["serve", "-m", join(folder, "model"), "-t", "1", "--port", "0", "--json"];
const EVENTS = ["--kv-events", "tcp://*:0", "--kv-events-replay", "tcp://*:0", "--kv-events-topic", "kv@pod@model"];
beforeAll(() => writeRandomCheckpoint(join(folder, "model")));
afterAll(() => rmSync(folder, { recursive: true }));

async function start(more: readonly string[]) {
  const io = captureIo();
  const code = runCli([...SERVE, ...EVENTS, ...more], io);
  await until(() => io.out().endsWith("\n"), "the server listens");
  const { url, kvEvents, kvEventsReplay } = JSON.parse(io.out()) as Record<
    "url" | "kvEvents" | "kvEventsReplay",
    string
  >;
  const address = kvEventsReplay.replace("0.0.0.0", "127.0.0.1");
  return {
    endpoint: kvEvents.replace("0.0.0.0", "127.0.0.1"),
    /** What a router knows that has asked for all past batches. */
    async index(): Promise<BlockIndex> {
      const index = new BlockIndex();
      const messages = await replay(address, 0n);
      for (const [, number, payload] of messages.slice(0, -1)) {
        expect(number!.readBigUInt64BE()).toBe(BigInt(messages.findIndex((parts) => parts[1] === number)));
        for (const event of unpack(payload!)[1]) index.take(eventOf(event));
      }
      return index;
    },
    async ask(prompt: readonly number[], more: object = {}, key?: string) {
      const response = await fetch(`${url}/v1/completions`, {
        method: "POST",
        headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
        body: JSON.stringify({ prompt, max_tokens: 1, temperature: 0, ...more }),
      });
      const answer = (await response.json()) as { usage?: { prompt_tokens_details: { cached_tokens: number } } };
      if (!answer.usage) throw new Error(JSON.stringify(answer));
      return answer.usage.prompt_tokens_details.cached_tokens;
    },
    async stop() {
      io.terminate();
      expect(await code).toBe(0);
    },
  };
}

const prompt = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => 10 + ((i * 31 + seed * 97 + (i >> 6) * seed) % 200));

describe("--kv-events", () => {
  it("the blocks that are told of are the tokens that a prompt finds, while others take their room", async () => {
    const server = await start(["--kv-budget", "1400kB"]);
    const turns = new Map<number, number>();
    let numHits = 0;
    let numMisses = 0;
    // Talks that are taken up at once, and such that have gone in the meantime.
    for (const talk of [0, 0, 1, 2, 0, 3, 4, 1, 1, 5, 0]) {
      const turn = turns.get(talk) ?? 0;
      turns.set(talk, turn + 1);
      const ids = prompt(200 + 70 * turn, talk);
      const known = (await server.index()).cached(ids);
      const found = await server.ask(ids);
      expect(known).toBe(Math.floor(found / 64) * 64);
      if (found > 0) numHits++;
      else if (turn > 0) numMisses++;
    }
    expect(numHits).toBeGreaterThan(0);
    expect(numMisses, "the room is short").toBeGreaterThan(0);
    await server.stop();
  });

  it("of prompts with a salt nobody is told, of those of the only key a router is", async () => {
    const server = await start(["--api-key", "only"]);
    const [salted, plain] = [prompt(200, 1), prompt(150, 2)];
    await server.ask(salted, { cache_salt: "s" }, "only");
    expect(await server.ask(salted, { cache_salt: "s" }, "only")).toBe(192);
    expect((await server.index()).blocks.size).toBe(0);
    await server.ask(plain, {}, "only");
    const { blocks } = await server.index();
    expect([...blocks.values()].flatMap(({ tokens }) => tokens)).toEqual(plain.slice(0, 128));
    await server.stop();
  });

  it("a server that ends says last that nothing is kept", async () => {
    const server = await start([]);
    const subscriber = new Subscriber({ linger: 0 });
    try {
      subscriber.connect(server.endpoint);
      subscriber.subscribe();
      let received = 0;
      let last: object | null = null;
      const reading = (async () => {
        for await (const [, , payload] of subscriber) {
          received++;
          const event = unpack(payload!)[1].at(-1) as { type: string };
          last = event;
          if (event.type === "AllBlocksCleared") return;
        }
      })();
      // Until the subscription has arrived.
      for (let talk = 0; received === 0; talk++) await server.ask(prompt(70, talk));
      await server.stop();
      await reading;
      expect(last).toEqual({ type: "AllBlocksCleared" });
    } finally {
      subscriber.close();
    }
  });

  const wrong: readonly (readonly [string, readonly string[], string])[] = [
    ["no address", ["--kv-events", "5557"], "Expected tcp://*:PORT, tcp://HOST:PORT or ipc://PATH."],
    ["no port", ["--kv-events", "tcp://*:70000"], "Expected tcp://*:PORT"],
    ["no format", ["--kv-events", "tcp://*:0", "--kv-events-format", "json"], "map, array"],
    ["a topic alone", ["--kv-events-topic", "kv@"], "--kv-events-topic: there are no events; give --kv-events"],
    ["a replay alone", ["--kv-events-replay", "tcp://*:0"], "--kv-events-replay: there are no events"],
    ["no prefixes", ["--kv-events", "tcp://*:0", "--no-prefix-cache"], "leave --no-prefix-cache out"],
    ["several keys", ["--kv-events", "tcp://*:0", "--api-key", "a", "--api-key", "b"], "serve with one key"],
    ["several models", ["--kv-events", "tcp://*:0", "-m", "qwen3-3m"], "it is for one model"],
    ["no such address", ["--kv-events", "tcp://*:0", "--kv-events-replay", "tcp://192.0.2.1:7"], "cannot be bound"],
  ];
  it.each(wrong)("%s: one error, and the exit code is 2", async (_, argv, message) => {
    const { code, err } = await runCommand([...SERVE, ...argv]);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });
});
