/** @file The HTTP interface: its routes, and the checks that apply to all of them. It does not depend on Node. */
import { Hono } from "hono";
import { addCors, checkHost, checkKey, corsHeaders } from "./access.ts";
import { methodNotAllowed, STATUS_CLIENT_LEFT, toApiError } from "./api-error.ts";
import { Call } from "./call.ts";
import { chatCompletions } from "./chat-completions.ts";
import { completions } from "./completions.ts";
import { embeddings } from "./embeddings.ts";
import { countTokens, createMessage } from "./messages/messages.ts";
import type { RelayHandlers, RequestEnvironment } from "./relay.ts";
import { logRequest } from "./request-log.ts";
import { createResponse, deleteResponse, showResponse } from "./responses/responses.ts";
import type { ServerOptions } from "./server-context.ts";
import { listSlots, slotAction } from "./slot-routes.ts";
import {
  applyTemplate,
  detokenize,
  listModels,
  metrics,
  props,
  ready,
  showModel,
  tokenize,
  version,
} from "./small-routes.ts";
import { noRoute, webPage } from "./web-page.ts";

type Handler = (
  call: Call,
  params: Readonly<Record<string, string>>,
  query: URLSearchParams,
) => Response | Promise<Response>;

/** Routes without an API key: what balancers ask, and the web page, which asks the user for the key itself. The health check and preflight requests do not come this far (gate.ts). */
const OPEN_ROUTES = new Set(["*", "/ready", "/version"]);

export function createApp(server: ServerOptions): Hono<{ Bindings: RequestEnvironment }> {
  const app = new Hono<{ Bindings: RequestEnvironment }>();
  const on = (method: string, path: string, handler: Handler): void => {
    app.on(method, path, (c) => handle(server, path, c.req.raw, c.env, c.req.param(), handler));
  };
  const methods = new Map<string, string[]>();
  const route = (method: "GET" | "POST" | "DELETE", path: string, handler: Handler): void => {
    on(method, path, handler);
    const own = method === "GET" ? ["GET", "HEAD"] : [method];
    methods.set(path, [...(methods.get(path) ?? []), ...own]);
  };
  for (const prefix of ["/v1", ""]) {
    route("POST", `${prefix}/chat/completions`, chatCompletions);
    route("POST", `${prefix}/completions`, completions);
    route("POST", `${prefix}/embeddings`, embeddings);
    route("POST", `${prefix}/responses`, createResponse);
    route("GET", `${prefix}/responses/:id`, (call, { id }) => showResponse(call, id!));
    route("DELETE", `${prefix}/responses/:id`, (call, { id }) => deleteResponse(call, id!));
    route("POST", `${prefix}/messages`, createMessage);
    route("POST", `${prefix}/messages/count_tokens`, countTokens);
    route("GET", `${prefix}/models`, listModels);
    route("GET", `${prefix}/models/:id{.+}`, (call, { id }) => showModel(call, id!));
  }
  route("POST", "/tokenize", tokenize);
  route("POST", "/detokenize", detokenize);
  route("POST", "/apply-template", applyTemplate);
  route("GET", "/version", version);
  route("GET", "/ready", ready);
  route("GET", "/metrics", metrics);
  route("GET", "/props", props);
  route("GET", "/slots", listSlots);
  route("POST", "/slots/:id", (call, { id }, query) => slotAction(call, id!, query.get("action") ?? undefined));
  for (const [path, own] of methods) {
    app.all(path, (c) => {
      const refuse = ({ request }: Call): never => {
        throw methodNotAllowed(request.method, c.req.path, [...own, "OPTIONS"]);
      };
      return handle(server, path, c.req.raw, c.env, {}, refuse);
    });
  }
  on("GET", "*", webPage);
  app.notFound((c) => handle(server, "*", c.req.raw, c.env, {}, noRoute));
  return app;
}

/** The application at the engine's end of the way to the sockets. */
export function relayedApp(server: ServerOptions): RelayHandlers {
  const app = createApp(server);
  const { logger } = server;
  return {
    fetch: (request, env) => app.fetch(request, env),
    onAnswered({ kind: _, fault, ...line }) {
      if (fault !== undefined) logger.error({ id: line.id, err: fault }, "request failed");
      logRequest(server, line);
    },
    onFault: (id, error) => logger.error({ id, err: error }, "answer broke off"),
  };
}

/** The most characters of a list in a header. */
const MAX_LIST = 500;

/** Names as headers may have them. */
const headerList = (names: readonly string[]): string =>
  names
    .join(", ")
    .replace(/[^\x20-\x7e]/g, "?")
    .slice(0, MAX_LIST);

async function handle(
  server: ServerOptions,
  path: string,
  request: Request,
  { id, address }: RequestEnvironment,
  params: Readonly<Record<string, string>>,
  handler: Handler,
): Promise<Response> {
  const call = new Call(server, request, id, path);
  let cors: Record<string, string> = {};
  let response: Response;
  try {
    const host = request.headers.get("host") ?? undefined;
    checkHost(host, server.hosts);
    cors = corsHeaders(request.headers.get("origin") ?? undefined, host, server.corsOrigins);
    const key = OPEN_ROUTES.has(path) ? "" : await checkKey(request.headers, server.apiKeys);
    call.client = key || address;
    call.owner = key;
    response = await handler(call, params, new URL(request.url).searchParams);
  } catch (error) {
    const apiError = toApiError(error);
    response = apiError.toResponse(path);
    if (apiError.status === 500) server.logger.error({ id, err: error }, "request failed");
  }
  addCors(response, cors);
  response.headers.set("x-request-id", id);
  if (call.ignoredFields.length > 0) response.headers.set("x-ignored-fields", headerList(call.ignoredFields));
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  if (!isStream) call.log(request.signal.aborted ? STATUS_CLIENT_LEFT : response.status);
  return response;
}
