/** @file `/v1/embeddings` with OpenAI's client, and what is refused before anything is read. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { embed } from "../engine/embed.ts";
import { type TextWork, textWorkHere } from "./text-work.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ fake: {}, server: { pooling: "mean" } });
});
afterAll(() => server.stop());

const ask = (body: object) => server.post("/v1/embeddings", body);
const ids = (text: string): number[] => server.llm.tokenizer.encode(text);

describe("embeddings", () => {
  it("are those of the library, in order, for the client that asks for base64 and for floats; usage counts tokens", async () => {
    const texts = ["one text", "and another", "one text"];
    const expected = (await embed(server.llm, texts, { pooling: "mean" })).map((vector) => [...vector]);
    const tokens = texts.reduce((sum, text) => sum + ids(text).length, 0);
    // Without a format the client asks for base64 and decodes it.
    for (const format of [undefined, "float"] as const) {
      const options = { model: server.llm.name, input: texts, ...(format && { encoding_format: format }) };
      const { data, usage, object, model } = await server.client.embeddings.create(options);
      expect({ object, model, usage }).toEqual({
        object: "list",
        model: server.llm.name,
        usage: { prompt_tokens: tokens, total_tokens: tokens },
      });
      expect(data).toEqual(texts.map((_, index) => ({ object: "embedding", index, embedding: expected[index] })));
    }
  });

  it("take a text, a list of texts, ids and lists of ids alike, and forget special tokens where that is asked", async () => {
    const vectors = async (input: unknown, more: object = {}): Promise<number[][]> =>
      (await ask({ input, ...more })).json.data.map((one: { embedding: number[] }) => one.embedding);
    const expected = await vectors("a text");
    expect(expected).toHaveLength(1);
    for (const input of [["a text"], ids("a text"), [ids("a text")]]) expect(await vectors(input)).toEqual(expected);
    const plain = server.llm.tokenizer.encode("a text", { addSpecialTokens: false });
    expect(await vectors("a text", { add_special_tokens: false })).toEqual(await vectors(plain));
    const [cut] = await vectors("a text", { dimensions: 3, pooling: "last" });
    const [expectedCut] = await embed(server.llm, ["a text"], { dimensions: 3, pooling: "last" });
    expect(cut).toEqual([...expectedCut!]);
  });

  it.each<[object, string, string?]>([
    [{}, "input"],
    [{ input: [] }, "input.0"],
    [{ input: ["x", ""] }, "input.1"],
    [{ input: ["x", 1] }, "input"],
    [{ input: [1, -1] }, "input.1"],
    [{ input: [[1], [1e7]] }, "", "invalid_argument"],
    [{ input: Array(2049).fill("x") }, "input"],
    [{ input: "word ".repeat(150_000) }, "", "context_length_exceeded"],
    [{ input: [Array(5000).fill(1)] }, "input.0", "context_length_exceeded"],
    [{ input: "x", dimensions: 0 }, "dimensions"],
    [{ input: "x", dimensions: 1e6 }, "", "invalid_argument"],
    [{ input: "x", encoding_format: "hex" }, "encoding_format"],
    [{ input: "x", pooling: "first" }, "pooling"],
    [{ input: "x", model: "another" }, "model", "model_not_found"],
    [{ input: "x", stream: true }, "stream", "unknown_field"],
  ])("%# is refused and names the field", async (body, param, code = "invalid_value") => {
    const { status, json } = await ask(body);
    expect(status).toBe(code === "model_not_found" ? 404 : 400);
    expect(json.error).toMatchObject({ code, param: param === "" ? null : param });
    expect(server.scheduler.stats.waiting).toBe(0);
  });

  it.each(["embeddings", "completions"])("many texts of /v1/%s print no warning", async (route) => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    const texts = Array.from({ length: 20 }, (_, i) => `text ${i}`);
    const body = route === "embeddings" ? { input: texts } : { prompt: texts, max_tokens: 1 };
    expect((await server.post(`/v1/${route}`, body)).status).toBe(200);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  it.each(["embeddings", "completions"])(
    "texts of /v1/%s take one place among those that wait to be encoded",
    async (route) => {
      let [waiting, most] = [0, 0];
      const { tokenizer } = server.llm;
      const text: TextWork = {
        ...textWorkHere(tokenizer),
        encode: async (one, options) => {
          most = Math.max(most, ++waiting);
          // Those who would come at the same time have come by then.
          await new Promise((resolve) => setImmediate(resolve));
          waiting--;
          return tokenizer.encode(one, options);
        },
      };
      const watched = await startServer({ fake: {}, text });
      const texts = Array.from({ length: 20 }, (_, i) => `text ${i}`);
      const body = route === "embeddings" ? { input: texts } : { prompt: texts, max_tokens: 1 };
      expect((await watched.post(`/v1/${route}`, body)).status).toBe(200);
      expect(most).toBe(1);
      await watched.stop();
    },
  );
});
