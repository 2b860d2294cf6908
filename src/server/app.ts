/** @file The HTTP interface: its routes, and the checks that apply to all of them. It does not depend on Node. */
import { Hono } from "hono";
import { checkHost, checkKey, corsHeaders } from "./access.ts";
import { STATUS_CLIENT_LEFT, toApiError } from "./api-error.ts";
import { Call } from "./call.ts";
import { chatCompletions } from "./chat-completions.ts";
import { completions } from "./completions.ts";
import type { RequestEnvironment } from "./relay.ts";
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

/** Routes without an API key: what balancers ask, and the web page, which asks the user for the key itself. The health check does not come this far (gate.ts). */
const OPEN_ROUTES = new Set(["*", "/ready", "/version"]);

export function createApp(server: ServerOptions): Hono<{ Bindings: RequestEnvironment }> {
  const app = new Hono<{ Bindings: RequestEnvironment }>();
  const route = (method: "GET" | "POST" | "DELETE", path: string, handler: Handler): void => {
    app.on(method, path, (c) => handle(server, path, c.req.raw, c.env, c.req.param(), handler));
    // Browsers send a preflight request before the real one.
    if (path !== "*") app.on("OPTIONS", path, (c) => preflight(server, c.req.raw));
  };
  for (const prefix of ["/v1", ""]) {
    route("POST", `${prefix}/chat/completions`, chatCompletions);
    route("POST", `${prefix}/completions`, completions);
    route("POST", `${prefix}/responses`, createResponse);
    route("GET", `${prefix}/responses/:id`, (call, { id }) => showResponse(call, id!));
    route("DELETE", `${prefix}/responses/:id`, (call, { id }) => deleteResponse(call, id!));
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
  route("GET", "*", webPage);
  app.notFound((c) => handle(server, "*", c.req.raw, c.env, {}, noRoute));
  return app;
}

/** The most characters of a list in a header. */
const MAX_LIST = 500;

/** Names as headers may have them. */
const headerList = (names: readonly string[]): string =>
  names
    .join(", ")
    .replace(/[^\x20-\x7e]/g, "?")
    .slice(0, MAX_LIST);

function preflight(server: ServerOptions, request: Request): Response {
  try {
    const origin = request.headers.get("origin") ?? undefined;
    const wanted = request.headers.get("access-control-request-headers");
    const headers = corsHeaders(origin, request.headers.get("host") ?? undefined, server.corsOrigins, wanted);
    return new Response(null, { status: 204, headers });
  } catch (error) {
    return toApiError(error).toResponse();
  }
}

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
    const authorization = request.headers.get("authorization") ?? undefined;
    const key = OPEN_ROUTES.has(path) ? "" : await checkKey(authorization, server.apiKeys);
    call.client = key || address;
    call.owner = key;
    response = await handler(call, params, new URL(request.url).searchParams);
  } catch (error) {
    const apiError = toApiError(error);
    response = apiError.toResponse();
    if (apiError.status === 500) server.logger.error({ id, err: error }, "request failed");
  }
  for (const [name, value] of Object.entries(cors)) response.headers.set(name, value);
  response.headers.set("x-request-id", id);
  if (call.ignoredFields.length > 0) response.headers.set("x-ignored-fields", headerList(call.ignoredFields));
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  if (!isStream) call.log(request.signal.aborted ? STATUS_CLIENT_LEFT : response.status);
  return response;
}
