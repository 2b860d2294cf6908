/** @file `turboquant serve`: the OpenAI-compatible server and the web page. */
import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { TOOL_FORMATS } from "../../chat/tools/formats.ts";
import { POOLINGS, type Pooling } from "../../engine/scheduler/row-pool.ts";
import type { SchedulerOptions } from "../../engine/scheduler/scheduler-options.ts";
import { TurboQuantError } from "../../errors.ts";
import { slotFiles } from "../../node/slot-files.ts";
import { builtWebFiles } from "../../node/web-files.ts";
import type { RateLimit } from "../../server/rate-limits.ts";
import type { UnknownFields } from "../../server/read-body.ts";
import type { Logger } from "../../server/server-context.ts";
import { packageVersion } from "../build-info.ts";
import type { CommandContext } from "../context.ts";
import {
  addBackendOptions,
  addCacheOptions,
  addModelOption,
  addOutputOptions,
  addThreadsOption,
  byteSize,
  collectText,
  loadOptionsOf,
  type ModelFlags,
  rateLimit,
  realNumber,
  wholeNumber,
} from "../options.ts";
import { addRopeOptions, type RopeFlags, ropeOptionOf } from "../rope-flags.ts";
import { addKvEventOptions, type KvEventFlags, openKvEvents } from "../serve/kv-event-flags.ts";
import { collectModels, wantedModel } from "../serve/model-flags.ts";
import { addPageStoreOptions, openStoreOf, type PageStoreFlags } from "../serve/page-store-flags.ts";
import { type ServedModels, type ServedOptions, serveOne, serveSeveral } from "../serve/served-models.ts";
import {
  addSpeculationOptions,
  checkSpeculation,
  openSpeculation,
  type SpeculationFlags,
} from "../speculation-flags.ts";
import { type HttpThread, startHttp } from "../start-http.ts";
import { reasonOf } from "../system-error.ts";
import { untilStopped } from "../until-stopped.ts";

interface ServeFlags extends Omit<ModelFlags, "model">, RopeFlags, SpeculationFlags, KvEventFlags, PageStoreFlags {
  /** The default, or what was given. */
  readonly model: string | readonly string[];
  readonly host: string;
  readonly port: number;
  readonly alias?: readonly string[];
  readonly parallel: number;
  readonly queue: number;
  readonly chunk?: number;
  readonly rateLimit?: RateLimit;
  readonly apiKey?: readonly string[];
  readonly apiKeyFile?: string;
  readonly corsOrigin?: readonly string[];
  readonly allowedHost?: readonly string[];
  readonly unknownFields: UnknownFields;
  readonly toolParser: string;
  readonly pooling: Pooling;
  readonly slotSavePath?: string;
  readonly maxBody: number;
  readonly timeout: number;
  readonly requestTimeout: number;
  readonly drainTimeout: number;
  readonly metricsPrefix: string;
  readonly web: boolean;
  readonly logLevel: string;
}

/** Default of `--kv-budget`: bytes for the KV pages of all conversations with a model, those of its draft model included. */
const DEFAULT_KV_BUDGET = 1 << 30;
const KEEP_ALIVE_MS = 75_000;
/** Time for the last events of streams that are cut off. */
const LAST_WORDS_MS = 200;
const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"];
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];
/** Environment variable with an API key, so that the key need not be on the command line. */
const KEY_VARIABLE = "TURBOQUANT_API_KEY";

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Serves a model over HTTP as OpenAI's API does, with many conversations on one compressed cache, and the web page. " +
      "Ctrl-C or SIGTERM: no more requests are taken, those at work are finished; a second Ctrl-C ends at once.",
  );
  addModelOption(command);
  const model = command.options.find(({ long }) => long === "--model")!;
  model.description += "; may be repeated, NAME=REF gives it a name: each is loaded when it is asked for";
  model.argParser(collectModels);
  addRopeOptions(addCacheOptions(command))
    .option("--host <address>", "address to listen on; 0.0.0.0 for all", "127.0.0.1")
    .option("--port <n>", "port; 0 for a free one", wholeNumber(0, 65535), 8080)
    .option("-a, --alias <name>", "another name for the model; may be repeated", collectText)
    .option("--parallel <n>", "-np: sequences computed together", wholeNumber(1, 1024), 64)
    .option("--queue <n>", "requests that may wait", wholeNumber(1), 1024)
    .option(
      "--chunk <tokens>",
      "rows of a step that prompts may take (default: what a tenth of a second allows, from what suits the backend to 512)",
      wholeNumber(64, 65536),
    )
    .option(
      "--rate-limit <limits>",
      "what a key, or an address without keys, may ask for in a minute: requests=60,tokens=100000",
      rateLimit,
    )
    .option("--no-prefix-cache", "do not keep prefixes for later requests")
    .option("--api-key <key>", `ask for this key; may be repeated; better: ${KEY_VARIABLE}`, collectText)
    .option("--api-key-file <path>", "keys, one a line")
    .option("--cors-origin <origin>", "pages of this origin may call; * for all; may be repeated", collectText)
    .option("--allowed-host <name>", "answer to this name only, and loopback's; may be repeated", collectText)
    .addOption(
      new Option(
        "--unknown-fields <policy>",
        "fields of a request that are not known: refuse it, or ignore them and say so",
      )
        .choices(["refuse", "ignore"])
        .default("refuse"),
    )
    .addOption(
      new Option("--tool-parser <name>", "how the model writes tool calls (auto: as its chat template says)")
        .choices(["auto", ...TOOL_FORMATS.map(({ name }) => name)])
        .default("auto"),
    )
    .addOption(
      new Option("--pooling <kind>", "what /v1/embeddings makes vectors of: the last token's row, or the mean of all")
        .choices(POOLINGS)
        .default("last"),
    )
    .option(
      "--slot-save-path <dir>",
      "where /slots saves conversations, made if it is not there (default: saving is off)",
    )
    .option("--max-body <size>", "longest request", byteSize, 16 << 20)
    .option("--timeout <s>", "longest time for an answer", realNumber, 600)
    .option("--request-timeout <s>", "longest time for a client to send its request", realNumber, 60)
    .option("--drain-timeout <s>", "longest time to finish what is at work when asked to end", realNumber, 30)
    .option(
      "--metrics-prefix <text>",
      "before the names in /metrics; `vllm:` for dashboards made for it",
      "turboquant:",
    )
    .option("--no-web", "the API alone, without the web page")
    .addOption(new Option("--log-level <level>", "JSON lines on stderr").choices(LOG_LEVELS).default("info"));
  addKvEventOptions(command);
  addPageStoreOptions(command);
  addSpeculationOptions(command);
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant serve
  $ turboquant serve --model Qwen/Qwen3-0.6B --kv k4v4 --kv-budget 4GiB --port 8000
  $ curl http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
      -d '{"messages":[{"role":"user","content":"What is the capital of France?"}],"temperature":0}'`,
    )
    .action((flags: ServeFlags) => serve(flags, context));
}

async function serve(asked: ServeFlags, context: CommandContext): Promise<void> {
  const { io } = context;
  const flags = { ...asked, kvBudget: asked.kvBudget ?? DEFAULT_KV_BUDGET };
  const speculation = checkSpeculation(flags);
  if (flags.draftModel !== undefined && [flags.model].flat().length > 1) {
    throw new TurboQuantError(
      "invalid_argument",
      "--draft-model: it is for one model; serve that one alone, or take --spec prompt-lookup for all",
    );
  }
  // Only this command loads the packages of the server.
  const [{ relayedApp }, { RateLimits }, logger, apiKeys] = await Promise.all([
    import("../../server/app.ts"),
    import("../../server/rate-limits.ts"),
    makeLogger(flags, context),
    keysOf(flags),
  ]);
  const slotStore =
    flags.slotSavePath === undefined
      ? null
      : slotFiles(flags.slotSavePath, (folder) =>
          logger.info({ folder }, "--slot-save-path: made, as it was not there"),
        );
  await using drafts = await openSpeculation(speculation, flags, context);
  await using events = await openKvEvents(flags, apiKeys, logger);
  await using store = await openStoreOf(flags, logger);
  await using served = await servedModels({ ...flags, ...drafts.limits }, context, logger, {
    ...drafts.options,
    ...(events && { pageListener: events.listener }),
    ...(store.pageStore && { pageStore: store.pageStore }),
  });
  const staticFiles = flags.web ? builtWebFiles() : null;
  const isLoopback = flags.host === "localhost" || flags.host === "::1" || flags.host.startsWith("127.");
  const access = {
    apiKeys,
    corsOrigins: flags.corsOrigin ?? [],
    hosts: isLoopback || flags.allowedHost ? [...LOOPBACK, flags.host, ...(flags.allowedHost ?? [])] : null,
  };
  const app = relayedApp({
    ...access,
    models: served.models,
    metrics: served.metrics,
    logger,
    unknownFields: flags.unknownFields,
    ...(flags.toolParser !== "auto" && { toolFormat: flags.toolParser }),
    pooling: flags.pooling,
    ...(flags.rateLimit && { rates: new RateLimits(flags.rateLimit) }),
    timeoutMs: flags.timeout * 1000,
    slotStore,
    staticFiles,
    version: packageVersion(),
  });
  const stopped = untilStopped(context);
  const server = await startHttp(app, {
    gate: { ...access, maxBodyBytes: flags.maxBody },
    listen: {
      host: flags.host,
      port: flags.port,
      requestTimeoutMs: flags.requestTimeout * 1000,
      keepAliveMs: KEEP_ALIVE_MS,
    },
  });
  try {
    if (flags.json) {
      const { url, port } = server;
      const web = staticFiles !== null;
      const addresses = events && {
        kvEvents: events.publisher.endpoint,
        ...(events.publisher.replayEndpoint !== null && { kvEventsReplay: events.publisher.replayEndpoint }),
      };
      io.stdout.write(`${JSON.stringify({ url, port, ...served.summary, web, ...addresses })}\n`);
    } else if (!flags.quiet) {
      io.stdout.write(
        `${served.headline}` +
          `API       ${server.url}/v1\n` +
          `${events ? `KV events ${events.publisher.endpoint}\n` : ""}` +
          `web page  ${staticFiles ? server.url : flags.web ? "not built: npm run build" : "off"}\n`,
      );
      if (!isLoopback && apiKeys.length === 0) {
        io.stderr.write(`warning: anyone who reaches ${flags.host} may use this server; set ${KEY_VARIABLE}\n`);
      }
    }
    const reason = await Promise.race([stopped.promise, server.failure]);
    if (reason instanceof Error) throw reason;
    logger.info({ reason, ...served.stats }, "shutting down");
    await shutDown(served, server, flags.drainTimeout * 1000);
    if (reason === "SIGINT") context.setExitCode(130);
  } finally {
    stopped.removeListener();
    await served.close();
    await server.close();
  }
}

function servedModels(
  flags: ServeFlags & { readonly kvBudget: number },
  context: CommandContext,
  logger: Logger,
  more: Pick<SchedulerOptions, "speculate" | "pageListener" | "pageStore">,
): Promise<ServedModels> {
  const { model, ...modelFlags } = flags;
  const wanted = [model].flat().map((text) => wantedModel(text));
  const options: ServedOptions = {
    flags,
    context,
    logger,
    load: { ...loadOptionsOf(modelFlags), ...ropeOptionOf(modelFlags), kvBudgetBytes: flags.kvBudget },
    scheduler: {
      maxRunning: flags.parallel,
      maxWaiting: flags.queue,
      prefixCache: flags.prefixCache,
      ...more,
      ...(flags.chunk !== undefined && { chunkTokens: flags.chunk }),
    },
    maxWaiting: { texts: flags.parallel + flags.queue, requests: flags.queue },
  };
  const [first, ...others] = wanted;
  return others.length === 0 ? serveOne(first!, options) : serveSeveral(wanted, options);
}

/** Waits for running requests to finish, for at most `limitMs`. */
async function shutDown(served: ServedModels, server: HttpThread, limitMs: number): Promise<void> {
  const timer = setTimeout(() => {
    // Streams that are cut off end as streams do, where their readers are quick enough.
    void served.close().then(() => setTimeout(() => server.destroy(), LAST_WORDS_MS));
  }, limitMs);
  try {
    // Until the last answer is made, who asks is told that this server ends, and balancers see it.
    server.drain();
    await served.drain();
    await server.stop();
  } finally {
    clearTimeout(timer);
  }
}

async function keysOf(flags: ServeFlags): Promise<string[]> {
  const keys = [...(flags.apiKey ?? [])];
  const fromEnvironment = process.env[KEY_VARIABLE];
  if (fromEnvironment) keys.push(fromEnvironment);
  if (flags.apiKeyFile !== undefined) {
    const text = await readFile(flags.apiKeyFile, "utf8").catch((cause: NodeJS.ErrnoException) => {
      throw new TurboQuantError(
        "invalid_argument",
        `--api-key-file ${flags.apiKeyFile}: cannot be read: ${reasonOf(cause)}; check the path`,
        {},
        { cause },
      );
    });
    keys.push(
      ...text
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "" && !line.startsWith("#")),
    );
    if (keys.length === 0) {
      throw new TurboQuantError(
        "invalid_argument",
        `--api-key-file ${flags.apiKeyFile}: expected a key a line, got none`,
      );
    }
  }
  return keys;
}

async function makeLogger(flags: ServeFlags, { io }: CommandContext) {
  const { pino } = await import("pino");
  return pino(
    { level: flags.quiet ? "silent" : flags.logLevel, base: null },
    { write: (line: string) => io.stderr.write(line) },
  );
}
