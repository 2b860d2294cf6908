/** @file The messages of the publisher are those of vLLM's, byte for byte, and nobody is waited for. */
import { readFileSync } from "node:fs";
import { encode } from "@msgpack/msgpack";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Subscriber } from "zeromq";
import { eventOf, replay, unpack } from "../../test/support/kv-events.ts";
import type { PageEvent } from "../engine/scheduler/kept-pages.ts";
import type { KvEventFormat } from "../server/kv-event-batch.ts";
import { type KvEventPublisher, openKvEventPublisher, packer } from "./kv-event-publisher.ts";

interface Recorded {
  /** Parts of messages, in hex. */
  readonly live: readonly (readonly string[])[];
  readonly replay: readonly (readonly string[])[];
}
const file = new URL("../../test/fixtures/kv-events/recorded.json", import.meta.url);
const recorded = JSON.parse(readFileSync(file, "utf8")) as Readonly<Record<string, Recorded>>;
const FORMATS: readonly [KvEventFormat, string][] = [
  ["map", "0.33.0"],
  ["array", "0.15.0"],
];

/** What the recorded batches tell. */
const [FIRST, SECOND, THIRD] = ["0123456789abcdef", "fedcba9876543210", "8000000000000001"].map((end) =>
  end.padStart(64, "a"),
) as [string, string, string];
const IDS = [0, 127, 128, 255, 256, 65535, 65536, 151935];
const tokens = Array.from({ length: 192 }, (_, i) => IDS[i % IDS.length]!);
const BATCHES: readonly (readonly PageEvent[])[] = [
  [
    { kind: "stored", parent: null, hashes: [FIRST, SECOND], tokens: tokens.slice(0, 128) },
    { kind: "stored", parent: SECOND, hashes: [THIRD], tokens: tokens.slice(128) },
  ],
  [{ kind: "removed", hashes: [THIRD, SECOND] }],
  [{ kind: "cleared" }],
];

const page = (i: number): PageEvent => ({
  kind: "stored",
  parent: null,
  hashes: [i.toString(16).padStart(64, "0")],
  tokens: tokens.slice(0, 64),
});
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe.each(FORMATS)("format %s, as vLLM %s", (format, version) => {
  const { live, replay: replayed } = recorded[version]!;

  it("batches are the same bytes", () => {
    const pack = packer(encode, format);
    for (const [i, events] of BATCHES.entries()) {
      // msgspec writes the length of a map that could be longer in two bytes more than it needs.
      const expected = live[i]![2]!.replaceAll(/de000(8a474797065)/g, "8$1");
      expect(Buffer.from(pack(1700000000.5 + i, events)).toString("hex")).toBe(expected);
    }
    // Whole seconds are floats too.
    expect(unpack(pack(5, BATCHES[2]!))[0]).toBe(5);
    expect(pack(5, BATCHES[2]!)[1]).toBe(0xcb);
  });

  it("a decoder made from the description reads vLLM's batches and ours alike", () => {
    const [, events, rank] = unpack(Buffer.from(live[0]![2]!, "hex"));
    expect(rank).toBe(0);
    expect(events.map(eventOf)[1]).toEqual({
      type: "BlockStored",
      block_hashes: [0x8000000000000001n],
      parent_block_hash: 0xfedcba9876543210n,
      token_ids: tokens.slice(128),
      block_size: 64,
      lora_id: null,
      medium: "GPU",
      lora_name: null,
    });
  });

  it("messages and replies have the same parts", async () => {
    await using publisher = await openKvEventPublisher({
      endpoint: "tcp://*:0",
      replayEndpoint: "tcp://*:0",
      topic: "kv@pod@model",
      format,
    });
    const address = publisher.replayEndpoint!.replace("0.0.0.0", "127.0.0.1");
    for (const [i, events] of BATCHES.entries()) {
      for (const event of events) publisher.add(event);
      // The next batch begins when this one was sent: its number is there, and the marker.
      while ((await replay(address, BigInt(i))).length < 2);
    }
    const own = await replay(address, 1n);
    const hex = (parts: readonly Buffer[]): string[] => parts.map((part) => part.toString("hex"));
    // Times differ: 16 digits behind the kinds of the array and the float.
    const timeless = (parts: readonly string[]): string[] =>
      parts.map((part) => part.replace(/^(93cb)[\da-f]{16}/, "$1"));
    expect(own.map((parts) => timeless(["", ...hex(parts)]))).toEqual(replayed.map(timeless));
  });
});

describe("subscribers", () => {
  const subscribers: Subscriber[] = [];
  afterEach(() => {
    for (const subscriber of subscribers.splice(0)) subscriber.close();
  });

  /** Its subscription has arrived: events are sent until it receives one, whose number comes along. */
  async function subscribed(publisher: KvEventPublisher, options: object = {}): Promise<[Subscriber, Buffer[]]> {
    const subscriber = new Subscriber({ linger: 0, ...options });
    subscribers.push(subscriber);
    subscriber.connect(publisher.endpoint.replace("0.0.0.0", "127.0.0.1"));
    subscriber.subscribe("kv@");
    let first: Buffer[] | null = null;
    const received = subscriber.receive().then((parts) => {
      first = parts;
    });
    while (!first) {
      publisher.add({ kind: "cleared" });
      await turn();
    }
    await received;
    return [subscriber, first];
  }

  it("get batches that are counted without a gap, each with all events of a turn", async () => {
    await using publisher = await openKvEventPublisher({ endpoint: "tcp://*:0", topic: "kv@a@b" });
    const [subscriber, first] = await subscribed(publisher);
    for (let i = 0; i < 3; i++) publisher.add(page(i));
    let number = first[1]!.readBigUInt64BE();
    for (;;) {
      const [topic, next, payload] = await subscriber.receive();
      expect(topic!.toString()).toBe("kv@a@b");
      expect(next!.readBigUInt64BE()).toBe(++number);
      const events = unpack(payload!)[1].map(eventOf);
      if (events.some(({ type }: { type: string }) => type === "BlockStored")) {
        expect(events.flatMap(({ block_hashes }: { block_hashes?: bigint[] }) => block_hashes ?? [])).toEqual([
          0n,
          1n,
          2n,
        ]);
        return;
      }
    }
  });

  it("one that does not read is not waited for, and the last batches can be asked for", async () => {
    const keptBatches = 50;
    await using publisher = await openKvEventPublisher({
      endpoint: "tcp://*:0",
      replayEndpoint: "tcp://*:0",
      topic: "kv@",
      keptBatches,
    });
    await subscribed(publisher, { receiveHighWaterMark: 1 });
    const address = publisher.replayEndpoint!.replace("0.0.0.0", "127.0.0.1");
    const before = (await replay(address, 0n)).length;
    for (let i = 0; i < 3000; i++) {
      publisher.add(page(i));
      await turn();
    }
    publisher.add({ kind: "removed", hashes: ["b".repeat(64)] });
    const isLast = (parts: readonly Buffer[] = []): boolean => parts.at(-1)?.includes("BlockRemoved") ?? false;
    let past: Buffer[][] = [];
    while (!isLast(past.at(-1))) past = (await replay(address, 0n)).slice(0, -1);
    expect(before).toBeGreaterThan(1);
    expect(past).toHaveLength(keptBatches);
    const numbers = past.map((parts) => parts.at(-2)!.readBigUInt64BE());
    expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + BigInt(i)));
    // From the last but one on, and beyond the end: the marker alone.
    expect(await replay(address, numbers.at(-2)!)).toHaveLength(3);
    expect(await replay(address, numbers.at(-1)! + 1n)).toHaveLength(1);
  });
});

describe("what goes wrong is one error", () => {
  it("an address that is taken", async () => {
    await using first = await openKvEventPublisher({ endpoint: "tcp://*:0" });
    const endpoint = first.endpoint.replace("0.0.0.0", "*");
    await expect(openKvEventPublisher({ endpoint })).rejects.toMatchObject({
      code: "invalid_argument",
      message: `--kv-events ${endpoint}: cannot be bound (Address already in use); choose an address of this machine and a free port`,
    });
  });

  it("a package that is not installed", async () => {
    vi.doMock("zeromq", () => {
      throw new Error("Cannot find package 'zeromq'");
    });
    try {
      await expect(openKvEventPublisher({ endpoint: "tcp://*:0" })).rejects.toMatchObject({
        code: "unsupported",
        message: expect.stringContaining("run `npm install zeromq @msgpack/msgpack`"),
      });
    } finally {
      vi.doUnmock("zeromq");
    }
  });
});
