/** @file The HTTP interface: the router, and the checks that apply to all routes. It does not depend on Node. */
import { Hono } from "hono";
import { addCors, checkHost, checkKey, corsHeaders, networkOf } from "./access.ts";
import { methodNotAllowed, STATUS_CLIENT_LEFT, setRequestId, toApiError } from "./api-error.ts";
import { Call } from "./call.ts";
import type { RelayHandlers, RequestEnvironment } from "./relay.ts";
import { logRequest } from "./request-log.ts";
import type { Handler } from "./route.ts";
import { routes } from "./routes.ts";
import type { ServerOptions } from "./server-context.ts";
import { noRoute, webPage } from "./web-page.ts";

/** Paths without an API key. The web page asks the user for the key itself. */
const OPEN_PATHS = new Set(["*", ...routes.filter(({ isOpen }) => isOpen).map(({ path }) => path)]);

export function createApp(server: ServerOptions): Hono<{ Bindings: RequestEnvironment }> {
  const app = new Hono<{ Bindings: RequestEnvironment }>();
  const on = (method: string, path: string, handler: Handler): void => {
    app.on(method, path, (c) => handle(server, path, c.req.raw, c.env, c.req.param(), handler));
  };
  const methods = new Map<string, string[]>();
  for (const { method, path: own, hasVersion, handler } of routes) {
    for (const path of hasVersion ? [`/v1${own}`, own] : [own]) {
      on(method, path, handler);
      methods.set(path, [...(methods.get(path) ?? []), ...(method === "GET" ? ["GET", "HEAD"] : [method])]);
    }
  }
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
  const { pathname, searchParams } = new URL(request.url);
  let cors: Record<string, string> = {};
  let response: Response;
  // What only reports is free, and so is what is no route, which no key is asked for.
  const rates = request.method === "POST" && path !== "*" ? server.rates : undefined;
  try {
    const host = request.headers.get("host") ?? undefined;
    checkHost(host, server.hosts);
    cors = corsHeaders(request.headers.get("origin") ?? undefined, host, server.corsOrigins);
    const key = OPEN_PATHS.has(path) ? "" : await checkKey(request.headers, server.apiKeys);
    call.client = key || networkOf(address);
    call.owner = key;
    rates?.admit(call.client);
    response = await handler(call, params, searchParams);
  } catch (error) {
    const apiError = toApiError(error);
    response = apiError.toResponse(pathname, id);
    if (apiError.status === 500) server.logger.error({ id, err: error }, "request failed");
  }
  addCors(response, cors);
  // What the request did not need of its client's tokens is given back before the headers say what is left.
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  if (!isStream) call.log(request.signal.aborted ? STATUS_CLIENT_LEFT : response.status);
  setRequestId(response, pathname, id);
  if (call.client !== "") {
    for (const [name, value] of Object.entries(rates?.headers(call.client) ?? {})) response.headers.set(name, value);
  }
  if (call.ignoredFields.length > 0) response.headers.set("x-ignored-fields", headerList(call.ignoredFields));
  return response;
}
