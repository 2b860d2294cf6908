/** @file Keys, origins and hosts, against a real server. */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { isSameSecret, networkOf } from "./access.ts";

/** `fetch` does not let a caller set Host and Origin. */
function send(server: TestServer, method: string, path: string, headers: Record<string, string>) {
  return new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port: server.port, method, path, headers }, (response) => {
      let text = "";
      response.on("data", (data) => {
        text += data;
      });
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    call.on("error", reject);
    call.end();
  });
}

let open: TestServer;
let closed: TestServer;
beforeAll(async () => {
  open = await startServer({ fake: {} });
  closed = await startServer({
    fake: {},
    server: {
      apiKeys: ["secret-1", "secret-2"],
      corsOrigins: ["https://app.example"],
      staticFiles: async () => ({
        bytes: new Uint8Array(1),
        type: "text/html",
        isImmutable: false,
        compressed: async () => new Uint8Array(1),
      }),
    },
  });
});
afterAll(async () => {
  await open.stop();
  await closed.stop();
});

describe("keys", () => {
  it("are asked for everywhere but where balancers and pages look", async () => {
    const get = (path: string, key?: string) =>
      send(closed, "GET", path, key === undefined ? {} : { authorization: `Bearer ${key}` });
    for (const path of ["/v1/models", "/metrics", "/slots", "/props"]) {
      expect((await get(path)).status, path).toBe(401);
      expect((await get(path, "secret")).status, path).toBe(401);
      expect((await get(path, "secret-1x")).status, path).toBe(401);
      expect((await get(path, "secret-2")).status, path).toBe(200);
    }
    for (const path of ["/health", "/"]) expect((await get(path)).status, path).toBe(200);
    const { text } = await get("/v1/models", "wrong");
    expect(JSON.parse(text).error).toMatchObject({ type: "authentication_error", code: "invalid_api_key" });
    expect(text).not.toContain("secret");
    await expect(closed.client.models.list()).resolves.toBeDefined();
    const own = async (key: string) => (await send(closed, "GET", "/v1/models", { "x-api-key": key })).status;
    expect([await own("secret-2"), await own("secret")]).toEqual([200, 401]);
  });

  it("are compared whole", async () => {
    expect(await isSameSecret("abc", "abc")).toBe(true);
    for (const other of ["abd", "ab", "abcd", "", "ABC"]) expect(await isSameSecret("abc", other)).toBe(false);
  });
});

it("methods that a route does not have are refused with those that it has", async () => {
  for (const [method, path, allow] of [
    ["TRACE", "/v1/models", "GET, HEAD, POST, DELETE, OPTIONS"],
    ["PUT", "/nothing", "GET, HEAD, POST, DELETE, OPTIONS"],
    ["PROPFIND", "/", "GET, HEAD, POST, DELETE, OPTIONS"],
    ["GET", "/v1/chat/completions", "POST, OPTIONS"],
    ["POST", "/v1/responses/x", "GET, HEAD, DELETE, OPTIONS"],
    ["DELETE", "/slots", "GET, HEAD, OPTIONS"],
    ["POST", "/health", "GET, HEAD, OPTIONS"],
  ] as const) {
    const { status, headers, text } = await send(open, method, path, {});
    expect({ method, path, status, allow: headers["allow"] }).toEqual({ method, path, status: 405, allow });
    expect(JSON.parse(text).error).toMatchObject({ code: "method_not_allowed", type: "invalid_request_error" });
  }
  expect((await send(open, "HEAD", "/v1/models", {})).status).toBe(200);
});

describe("pages", () => {
  it("of other origins are turned away, unless they are on the list", async () => {
    const origin = "https://app.example";
    const host = "127.0.0.1:80";
    expect((await send(open, "GET", "/v1/models", { host, origin })).status).toBe(403);
    expect((await send(open, "OPTIONS", "/v1/models", { host, origin })).status).toBe(403);
    expect((await send(open, "POST", "/v1/completions", { host, origin, "content-type": "text/plain" })).status).toBe(
      403,
    );
    expect((await send(open, "GET", "/v1/models", { host, origin: `http://${host}` })).status).toBe(200);
    const headers = { host, origin, authorization: "Bearer secret-1" };
    const answer = await send(closed, "GET", "/v1/models", headers);
    expect(answer.status).toBe(200);
    expect(answer.headers["access-control-allow-origin"]).toBe(origin);
    const asked = await send(closed, "OPTIONS", "/v1/chat/completions", { host, origin });
    expect(asked.status).toBe(204);
    expect(asked.headers["access-control-allow-headers"]).toContain("authorization");
    // The official client sends headers of its own.
    const wanted = "authorization,content-type,x-stainless-lang";
    const client = { host, origin, "access-control-request-headers": wanted };
    expect(
      (await send(closed, "OPTIONS", "/v1/chat/completions", client)).headers["access-control-allow-headers"],
    ).toBe(wanted);
    const stranger = { ...headers, origin: "https://other.example" };
    expect((await send(closed, "GET", "/v1/models", stranger)).status).toBe(403);
  });

  it("may ask for every route first, and get what depends on the origin as such", async () => {
    const origin = "https://app.example";
    for (const path of ["/health", "/ready", "/", "/v1/responses/x", "/nothing"]) {
      const asked = await send(closed, "OPTIONS", path, { host: "127.0.0.1", origin });
      expect({ path, status: asked.status, allowed: asked.headers["access-control-allow-origin"] }).toEqual({
        path,
        status: 204,
        allowed: origin,
      });
    }
    const page = await send(closed, "GET", "/", { host: "127.0.0.1", origin });
    expect(page.headers["vary"]).toBe("accept-encoding, origin");
  });

  it("that gave this address a name of their own", async () => {
    expect((await send(open, "GET", "/v1/models", { host: "evil.example" })).status).toBe(403);
    expect((await send(open, "GET", "/v1/models", { host: "evil.example:8080" })).status).toBe(403);
    expect((await send(open, "GET", "/v1/models", { host: "localhost:8080" })).status).toBe(200);
  });
});

it.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8:1:2::1", "2001:db8:1:2::/64"],
  ["2001:DB8::1", "2001:db8:0:0::/64"],
  ["2001:0db8::2", "2001:db8:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
])("address %s counts as %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
