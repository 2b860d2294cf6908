/** What a server says of drafts: in an answer's timings as llama.cpp does, in its metrics as vLLM does. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { startServer, type TestServer } from "../../test/support/server.ts";

let server: TestServer;
/** Two drafted tokens a step: the first is right, the second is not. */
const drafts: number[] = [];
beforeAll(async () => {
  server = await startServer({
    fake: {},
    scheduler: {
      speculate: {
        createSource: () => ({
          propose: async (tokens) => {
            const next = drafts[tokens.length - 4];
            return next === undefined ? [] : [next, 7];
          },
          release() {},
        }),
      },
    },
  });
});
afterAll(() => server.stop());

it("counts what was drafted and what was right", async () => {
  const request = { prompt: [300, 301, 302, 303], max_tokens: 12, temperature: 0, ignore_eos: true };
  const first = [];
  for await (const { token } of server.llm.generate(request.prompt, { maxNewTokens: 12, ignoreEos: true })) {
    first.push(token!);
  }
  drafts.push(...first);
  const { json } = await server.post("/v1/completions", request);
  // The first token comes from the prompt. Each further step gives two tokens, and the last has no room for a draft.
  expect(json.timings).toMatchObject({ predicted_n: 12, draft_n: 10, draft_n_accepted: 5 });
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const read = (name: string): number[] =>
    [...metrics.matchAll(new RegExp(`^turboquant:spec_decode_${name}_total\\{[^\\n]*\\} (\\S+)$`, "gm"))].map(
      ([, value]) => Number(value),
    );
  expect(read("num_drafts")).toEqual([5]);
  expect(read("num_draft_tokens")).toEqual([10]);
  expect(read("num_accepted_tokens")).toEqual([5]);
  expect(read("num_accepted_tokens_per_pos")).toEqual([5]);
  expect(metrics).toContain('position="0"');
});
