/** @file The description of the API: valid OpenAPI, of all routes that the router has, and with words for every field. */
import { Validator } from "@seriousme/openapi-schema-validator";
import { beforeAll, expect, it } from "vitest";
import { createApp } from "./app.ts";
import { routes } from "./routes.ts";
import type { ServerOptions } from "./server-context.ts";

// biome-ignore lint/suspicious/noExplicitAny: of any form; tests look into it
type Json = any;

const SINK = { onResponse() {}, info() {} };
const HERE = { id: "test", address: "" };

function appWith(apiKeys: readonly string[]) {
  const options = { version: "1.2.3", apiKeys, corsOrigins: [], hosts: null, timeoutMs: 60_000 };
  return createApp({ ...options, metrics: SINK, logger: SINK } as unknown as ServerOptions);
}

async function described(apiKeys: readonly string[]): Promise<Json> {
  const request = new Request("http://localhost/openapi.json");
  const response = await appWith(apiKeys).fetch(request, HERE);
  expect(response.status).toBe(200);
  return response.json();
}

let api: Json;
beforeAll(async () => {
  api = await described(["key"]);
});

it("is valid, and says where a key is needed", async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(api));
  expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
  expect(api.info.version).toBe("1.2.3");
  expect(api.security).toEqual([{ bearer: [] }, { apiKey: [] }]);
  expect(api.paths["/ready"].get.security).toEqual([]);
  expect(api.paths["/metrics"].get.security).toBeUndefined();
  const open = await described([]);
  expect(open).not.toHaveProperty("security");
  expect(open.paths).toEqual(api.paths);
});

it("is made once, and has the errors of each API", async () => {
  let reads = 0;
  const options = { apiKeys: [], corsOrigins: [], hosts: null, timeoutMs: 60_000, metrics: SINK, logger: SINK };
  Object.defineProperty(options, "version", { get: () => `1.${++reads}` });
  const app = createApp(options as unknown as ServerOptions);
  const ask = async () => (await app.fetch(new Request("http://localhost/openapi.json"), HERE)).text();
  expect(await ask()).toBe(await ask());
  expect(reads).toBe(1);
  const errorOf = (path: string): string => api.paths[path].post.responses.default.$ref.split("/").at(-1);
  expect([errorOf("/v1/messages"), errorOf("/v1/chat/completions")]).toEqual(["MessagesError", "Error"]);
  expect(api.components.schemas.MessagesError.required).toEqual(["type", "error"]);
});

it("has the routes that the router has, and no others", () => {
  const app = appWith([]);
  const versioned = new Set(routes.filter(({ hasVersion }) => hasVersion).map(({ path }) => path));
  const routed = app.routes
    .filter(({ method, path }) => method !== "ALL" && path !== "*" && path !== "/*" && !versioned.has(path))
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(\{.*\})?/, "{$1}")}`);
  const listed = Object.entries(api.paths).flatMap(([path, operations]) =>
    Object.keys(operations as object).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(listed.sort()).toEqual([...routed, "GET /health"].sort());
  expect(versioned.size).toBeGreaterThan(5);
});

it("describes every field, those included that are checked by hand, and which routes send events", () => {
  const fields = Object.entries(api.components.schemas).flatMap(([name, schema]) =>
    Object.entries((schema as Json).properties).map(([field, of]) => [`${name}.${field}`, of] as const),
  );
  expect(fields.length).toBeGreaterThan(100);
  const isEmpty = (of: Json): boolean =>
    Object.keys(of).length === 0 || (Array.isArray(of.anyOf) && of.anyOf.some(isEmpty));
  expect(fields.filter(([, of]) => isEmpty(of)).map(([name]) => name)).toEqual([]);
  const { EmbeddingRequest, ChatCompletionRequest } = api.components.schemas;
  expect(EmbeddingRequest).toMatchObject({ required: ["input"], additionalProperties: false });
  expect(EmbeddingRequest.properties.input.anyOf).toHaveLength(4);
  const { messages, seed } = ChatCompletionRequest.properties;
  expect(messages).toMatchObject({ type: "array", minItems: 1, maxItems: 8192, items: { required: ["role"] } });
  expect(seed).toEqual({ type: ["integer", "null"] });
  const withEvents = Object.entries(api.paths)
    .filter(([, { post }]: Json) => post?.responses[200].content["text/event-stream"])
    .map(([path]) => path);
  expect(withEvents).toEqual(["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]);
});
