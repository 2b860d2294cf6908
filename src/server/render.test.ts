/** @file The render routes: the prompt that an answer would read, as text and as ids, and the errors that the answer would have about it. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { startServer, type TestServer } from "../../test/support/server.ts";

const CHAT = "/v1/chat/completions";
const COMPLETION = "/v1/completions";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ fake: {}, load: { contextLength: 256 } });
});
afterAll(() => server.stop());

const user = (content: string) => ({ messages: [{ role: "user", content }] });

it("a chat's prompt is what a template makes of it and what an answer reads; nothing is computed", async () => {
  const request = { ...user("Hi"), max_tokens: 2, temperature: 0 };
  const { json } = await server.post(`${CHAT}/render`, { ...request, stream: true });
  const { prompt } = (await server.post("/apply-template", request)).json;
  const { tokens } = (await server.post("/tokenize", { content: prompt })).json;
  expect(json).toEqual({
    request_id: expect.stringMatching(/^chatcmpl-\w{24}$/),
    model: "fake",
    prompt,
    token_ids: tokens,
  });
  expect(server.scheduler.stats.prefixEntries).toBe(0);
  const answer = (await server.post(CHAT, request)).json;
  expect(answer.usage.prompt_tokens).toBe(json.token_ids.length);
  const same = (await server.post(COMPLETION, { prompt: json.token_ids, max_tokens: 2, temperature: 0 })).json;
  expect(same.choices[0].text).toBe(answer.choices[0].message.content);
  expect((await server.post("/chat/completions/render", request)).status).toBe(200);
});

it("a completion's prompts are a list, of texts and of ids", async () => {
  const render = async (body: object) => (await server.post(`${COMPLETION}/render`, body)).json;
  const [one] = await render({ prompt: "ab" });
  expect(one).toMatchObject({ request_id: expect.stringMatching(/^cmpl-\w{24}$/), model: "fake", prompt: "ab" });
  const usage = (await server.post(COMPLETION, { prompt: "ab", max_tokens: 1 })).json.usage;
  expect(one.token_ids).toHaveLength(usage.prompt_tokens);
  expect(await render({ prompt: one.token_ids })).toMatchObject([{ prompt: "ab", token_ids: one.token_ids }]);
  const both = await render({ prompt: ["ab", "c"] });
  expect(both.map(({ prompt }: { prompt: string }) => prompt)).toEqual(["ab", "c"]);
  expect(new Set(both.map(({ request_id }: { request_id: string }) => request_id)).size).toBe(2);
});

it.each<[string, string, object]>([
  ["a chat over the context", CHAT, user("a".repeat(300))],
  ["a text over the context", COMPLETION, { prompt: ["a", "a".repeat(300)] }],
  ["an id that is none", COMPLETION, { prompt: [1, 1e6] }],
  ["an empty prompt", COMPLETION, { prompt: [] }],
  ["too many prompts", COMPLETION, { prompt: ["a", "b"], n: 200 }],
  ["another model", CHAT, { ...user("Hi"), model: "other" }],
  ["a field that is unknown", COMPLETION, { prompt: "a", promt: "b" }],
])("%s is refused as an answer would be", async (_what, path, body) => {
  const rendered = await server.post(`${path}/render`, body);
  const answered = await server.post(path, body);
  expect(rendered.status).toBeGreaterThanOrEqual(400);
  expect({ status: rendered.status, json: rendered.json }).toEqual({ status: answered.status, json: answered.json });
});
