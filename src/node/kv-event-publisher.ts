/**
 * @file Publishes what comes and goes in the prefix cache over ZeroMQ, as vLLM's publisher of KV cache events does: messages of three parts,
 * the topic, a number that counts batches (8 bytes, big-endian) and a batch in MessagePack; and past batches again for those who ask.
 *
 * Nothing here waits for a reader: a subscriber that is behind by more than the high-water mark loses messages, sees it by their numbers,
 * and asks for them again.
 */
import type { PageEvent } from "../engine/scheduler/kept-pages.ts";
import { TurboQuantError } from "../errors.ts";
import { joinEvents, type KvEventFormat, wireEvent } from "../server/kv-event-batch.ts";

type ZeroMQ = typeof import("zeromq");
type MessagePack = typeof import("@msgpack/msgpack");

/** Batches that a subscriber may be behind by, and past batches that can be asked for. */
const KEPT_BATCHES = 10_000;
/** The most bytes of past batches. */
const KEPT_BYTES = 64 << 20;
/** Time for the last batch of a server that ends, which says that nothing is kept any more. */
const LAST_WORDS_MS = 1000;
/** What is sent behind the last past batch in the place of its number. */
const END_MARKER = Buffer.alloc(8, 0xff);
/** A batch is an array of three; its first is a float of 64 bits, also where its value is whole. */
const ARRAY_OF_3 = 0x93;
const FLOAT_64 = 0xcb;

export interface KvEventOptions {
  /** `tcp://*:5557` is bound; an address without `*` and `::` is that of a subscriber, and connected to. */
  readonly endpoint: string;
  /** Where past batches can be asked for; bound. */
  readonly replayEndpoint?: string;
  /** Before each message; subscribers choose by it. Default: none. */
  readonly topic?: string;
  readonly format?: KvEventFormat;
  /** Batches that a subscriber may be behind by, and that can be asked for; default 10,000. */
  readonly keptBatches?: number;
  /** Called once where sending fails. */
  readonly onFault?: (error: unknown) => void;
}

export interface KvEventPublisher extends AsyncDisposable {
  /** As bound: with the port that was chosen for 0. */
  readonly endpoint: string;
  readonly replayEndpoint: string | null;
  /** Takes an event; it is sent with others of the same turn of the event loop. */
  add(event: PageEvent): void;
}

/** @throws TurboQuantError unsupported — a package is missing; invalid_argument — an address that cannot be bound */
export async function openKvEventPublisher(options: KvEventOptions): Promise<KvEventPublisher> {
  const [zmq, { encode }] = await loadPackages();
  const { endpoint, replayEndpoint, topic = "", format = "map", keptBatches = KEPT_BATCHES } = options;
  const pack = packer(encode, format);
  const sockets: { close(): void }[] = [];
  const close = (): void => {
    for (const socket of sockets) socket.close();
  };
  const pub = new zmq.Publisher({ linger: LAST_WORDS_MS, sendHighWaterMark: keptBatches });
  sockets.push(pub);
  // A replay is sent at once and has to fit. What a reader has taken is known with a delay of half the mark.
  const router =
    replayEndpoint === undefined ? null : new zmq.Router({ linger: 0, sendHighWaterMark: 2 * (keptBatches + 1) });
  if (router) sockets.push(router);
  try {
    if (isBound(endpoint)) await bind(pub, endpoint, "--kv-events");
    else pub.connect(endpoint);
    if (router) await bind(router, replayEndpoint!, "--kv-events-replay");
  } catch (error) {
    close();
    throw error;
  }

  const past: { number: Buffer; payload: Uint8Array }[] = [];
  let pastBytes = 0;
  let count = 0n;
  let pending: PageEvent[] = [];
  let sending: Promise<void> | null = null;
  let isClosed = false;
  let hasFailed = false;
  const onFault = (error: unknown): void => {
    if (hasFailed || isClosed) return;
    hasFailed = true;
    options.onFault?.(error);
  };

  async function send(): Promise<void> {
    // Events of the same turn are one batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (pending.length > 0) {
      const events = joinEvents(pending);
      pending = [];
      const number = Buffer.alloc(8);
      number.writeBigUInt64BE(count++);
      const payload = pack(Date.now() / 1000, events);
      past.push({ number, payload });
      pastBytes += payload.length;
      while (past.length > keptBatches || (pastBytes > KEPT_BYTES && past.length > 1)) {
        pastBytes -= past.shift()!.payload.length;
      }
      if (!isClosed) await pub.send([topic, number, payload]).catch(onFault);
    }
    sending = null;
  }

  // vLLM's replies have the topic too since it writes maps.
  const before = format === "map" ? [topic] : [];
  async function answerReplays(): Promise<void> {
    for await (const [client, , first, ...rest] of router!) {
      // Another form is no question, and who sent it gets the marker alone.
      const from = first?.length === 8 && rest.length === 0 ? first.readBigUInt64BE() : 1n << 64n;
      for (const { number, payload } of [...past]) {
        if (number.readBigUInt64BE() >= from) await router!.send([client!, "", ...before, number, payload]);
      }
      await router!.send([client!, "", ...before.map(() => ""), END_MARKER, ""]);
    }
  }
  const replays = router ? answerReplays().catch(onFault) : null;

  return {
    endpoint: pub.lastEndpoint ?? endpoint,
    replayEndpoint: router?.lastEndpoint ?? null,
    add(event) {
      pending.push(event);
      sending ??= send();
    },
    async [Symbol.asyncDispose]() {
      await sending;
      isClosed = true;
      close();
      await replays;
    },
  };
}

/** Of this process among those that share a model's requests: it is alone. */
const RANK = 0;

/** returns: makes the bytes of a batch; its time is in seconds since 1970 */
export function packer(encode: MessagePack["encode"], format: KvEventFormat) {
  return (time: number, events: readonly PageEvent[]): Uint8Array => {
    const head = Buffer.alloc(10);
    head.writeUInt8(ARRAY_OF_3, 0);
    head.writeUInt8(FLOAT_64, 1);
    head.writeDoubleBE(time, 2);
    const body = encode(
      events.map((event) => wireEvent(event, format)),
      { useBigInt64: true },
    );
    return Buffer.concat([head, body, encode(RANK)]);
  };
}

/** As vLLM decides it: who is bound stays, who connects comes and goes. */
const isBound = (endpoint: string): boolean => endpoint.startsWith("ipc://") || /\*|::/.test(endpoint);

async function bind(socket: { bind(address: string): Promise<void> }, address: string, option: string): Promise<void> {
  try {
    await socket.bind(address);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TurboQuantError(
      "invalid_argument",
      `${option} ${address}: cannot be bound (${why}); choose an address of this machine and a free port`,
      {},
      { cause },
    );
  }
}

async function loadPackages(): Promise<[ZeroMQ, MessagePack]> {
  try {
    return await Promise.all([import("zeromq"), import("@msgpack/msgpack")]);
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      `--kv-events: the packages zeromq and @msgpack/msgpack cannot be loaded: ${cause instanceof Error ? cause.message.split("\n")[0] : cause}; ` +
        "run `npm install zeromq @msgpack/msgpack`, or leave the option out",
      {},
      { cause },
    );
  }
}
