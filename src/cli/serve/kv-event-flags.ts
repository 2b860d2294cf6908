/** @file The options of `serve` about events of the cache, and the publisher that they ask for. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { PageListener } from "../../engine/scheduler/kept-pages.ts";
import { TurboQuantError } from "../../errors.ts";
import { type KvEventPublisher, openKvEventPublisher } from "../../node/kv-event-publisher.ts";
import { KV_EVENT_FORMATS, type KvEventFormat } from "../../server/kv-event-batch.ts";
import type { Logger } from "../../server/server-context.ts";

export interface KvEventFlags {
  readonly kvEvents?: string;
  readonly kvEventsReplay?: string;
  readonly kvEventsTopic?: string;
  readonly kvEventsFormat?: KvEventFormat;
}

export interface PublishedEvents extends AsyncDisposable {
  readonly publisher: KvEventPublisher;
  /** For the scheduler whose pages are told of. */
  readonly listener: PageListener;
}

export function addKvEventOptions(command: Command): void {
  command
    .option(
      "--kv-events <address>",
      "publish what the prefix cache holds for routers, as vLLM does, over ZeroMQ: tcp://*:5557 is bound, tcp://HOST:5557 connected to (needs zeromq and @msgpack/msgpack)",
      zmqAddress,
    )
    .option("--kv-events-replay <address>", "with --kv-events: where past events can be asked for; bound", zmqAddress)
    .option("--kv-events-topic <text>", "with --kv-events: before each message; llm-d reads kv@POD@MODEL")
    .addOption(
      new Option(
        "--kv-events-format <format>",
        "with --kv-events: events as maps, as vLLM has them since 0.24, or as arrays, as before (default: map)",
      ).choices(KV_EVENT_FORMATS),
    );
}

/** An address of ZeroMQ: `tcp://*:PORT`, `tcp://HOST:PORT`, `ipc://PATH`. */
function zmqAddress(text: string): string {
  const [, port] = /^tcp:\/\/(?:\*|\[[\da-f:.]+\]|[\w.-]+):(\d+)$/i.exec(text) ?? [];
  if (text.startsWith("ipc://") ? text.length > "ipc://".length : port !== undefined && Number(port) <= 65535) {
    return text;
  }
  throw new InvalidArgumentError("Expected tcp://*:PORT, tcp://HOST:PORT or ipc://PATH.");
}

/**
 * Whose pages are told of: all clients' where none has a key or all have the same. Their tokens are in the events, so where clients are apart nobody's are.
 *
 * returns: null when no events are asked for
 * @throws TurboQuantError invalid_argument — options that contradict each other, an address that cannot be bound; unsupported — a package is missing
 */
export async function openKvEvents(
  flags: KvEventFlags & { readonly prefixCache: boolean; readonly model: string | readonly string[] },
  apiKeys: readonly string[],
  logger: Logger,
): Promise<PublishedEvents | null> {
  const { kvEvents: endpoint, kvEventsReplay, kvEventsTopic, kvEventsFormat } = flags;
  if (endpoint === undefined) {
    const given = Object.entries({ replay: kvEventsReplay, topic: kvEventsTopic, format: kvEventsFormat });
    const alone = given.find(([, value]) => value !== undefined);
    if (alone) refuse(`--kv-events-${alone[0]}: there are no events; give --kv-events tcp://*:5557 too`);
    return null;
  }
  if (!flags.prefixCache)
    refuse("--kv-events: without a prefix cache there is nothing to tell of; leave --no-prefix-cache out");
  if ([flags.model].flat().length > 1) refuse("--kv-events: it is for one model; start a server for each of several");
  if (apiKeys.length > 1) {
    refuse(
      "--kv-events: events have the tokens of prompts, which are kept apart by key; serve with one key, or leave the option out",
    );
  }
  const publisher = await openKvEventPublisher({
    endpoint,
    ...(kvEventsReplay !== undefined && { replayEndpoint: kvEventsReplay }),
    ...(kvEventsTopic !== undefined && { topic: kvEventsTopic }),
    ...(kvEventsFormat !== undefined && { format: kvEventsFormat }),
    onFault: (err) => logger.error({ err }, "events of the cache are not sent"),
  });
  return {
    publisher,
    listener: { owners: apiKeys.length === 0 ? [""] : apiKeys, onPages: (event) => publisher.add(event) },
    [Symbol.asyncDispose]: () => publisher[Symbol.asyncDispose](),
  };
}

function refuse(message: string): never {
  throw new TurboQuantError("invalid_argument", message);
}
