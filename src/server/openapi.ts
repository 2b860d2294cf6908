/** @file The description of the API as OpenAPI 3.1, made from the routes and from the very schemas that check what they are sent. */
import { z } from "zod";
import { type ErrorBody, isMessagesPath, type MessagesErrorBody } from "./api-error.ts";
import type { Route } from "./route.ts";
import type { ServerOptions } from "./server-context.ts";

const errorBody = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
}) satisfies z.ZodType<ErrorBody>;
const messagesErrorBody = z.object({
  type: z.literal("error"),
  error: errorBody.shape.error.extend({ details: z.record(z.string(), z.unknown()).exactOptional() }),
  request_id: z.string().exactOptional(),
}) satisfies z.ZodType<MessagesErrorBody>;

/** Answered by the thread of the sockets (gate.ts). */
const HEALTH = {
  get: {
    operationId: "get_health",
    summary: "Whether the server is alive",
    security: [],
    responses: answers("Error", "application/json"),
  },
};

const KEYS = {
  bearer: { type: "http", scheme: "bearer" },
  apiKey: { type: "apiKey", in: "header", name: "x-api-key" },
} as const;

/** What schemas do not say of themselves is in their `meta`; refinements are left out. */
function jsonSchema(schema: z.ZodType): object {
  const { $schema: _, ...own } = z.toJSONSchema(schema, { unrepresentable: "any" });
  return own;
}

function answers(error: "Error" | "MessagesError", ...types: readonly string[]) {
  return {
    200: { description: "The answer", content: Object.fromEntries(types.map((type) => [type, {}])) },
    default: { $ref: `#/components/responses/${error}` },
  };
}

function operationOf({ method, does, body, query, answer, isOpen }: Route, path: string): object {
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
      ...{ name, in: "path", required: true, schema: { type: "string" } },
    })),
    ...Object.entries(query ?? {}).map(([name, values]) => ({
      ...{ name, in: "query", required: true, schema: { type: "string", enum: values } },
    })),
  ];
  const types = ["application/json", ...(body?.schema.shape["stream"] ? ["text/event-stream"] : [])];
  const schema = body && { $ref: `#/components/schemas/${body.name}` };
  return {
    operationId: [method.toLowerCase(), ...path.match(/\w+/g)!].join("_"),
    summary: does,
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: { required: !body.isOptional, content: { "application/json": { schema } } } }),
    responses: answers(isMessagesPath(path) ? "MessagesError" : "Error", ...(answer ? [answer] : types)),
    ...(isOpen && { security: [] }),
  };
}

const texts = new WeakMap<ServerOptions, string>();

/** The description as JSON, which is made when it is first asked for. */
export function apiText(routes: readonly Route[], server: ServerOptions): string {
  let text = texts.get(server);
  if (text === undefined) {
    text = JSON.stringify(describeApi(routes, server));
    texts.set(server, text);
  }
  return text;
}

function describeApi(routes: readonly Route[], { version, apiKeys }: ServerOptions): object {
  const paths: Record<string, object> = { "/health": HEALTH };
  const schemas: Record<string, object> = {
    Error: jsonSchema(errorBody),
    MessagesError: jsonSchema(messagesErrorBody),
  };
  for (const route of routes) {
    const { method, body, hasVersion } = route;
    const path = (hasVersion ? "/v1" : "") + route.path.replace(/:(\w+)(?:\{[^}]*\})?/g, "{$1}");
    paths[path] = { ...paths[path], [method.toLowerCase()]: operationOf(route, path) };
    if (body) schemas[body.name] ??= jsonSchema(body.schema);
  }
  const error = (name: string) => ({
    description: "What is wrong",
    content: { "application/json": { schema: { $ref: `#/components/schemas/${name}` } } },
  });
  return {
    openapi: "3.1.0",
    info: {
      title: "turboquant",
      version,
      description: "Paths that begin with /v1 are there without it too. Of fields, null means absent.",
    },
    paths,
    components: {
      schemas,
      responses: { Error: error("Error"), MessagesError: error("MessagesError") },
      ...(apiKeys.length > 0 && { securitySchemes: KEYS }),
    },
    ...(apiKeys.length > 0 && { security: Object.keys(KEYS).map((name) => ({ [name]: [] })) }),
  };
}
