import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readEvents } from "./sse.ts";

/** The bytes of `text`, cut at these places. */
function streamOf(text: string, cuts: readonly number[] = []): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(text);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return new ReadableStream({
    start(controller) {
      for (let i = 1; i < places.length; i++) controller.enqueue(bytes.slice(places[i - 1], places[i]));
      controller.close();
    },
  });
}

async function collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string[]> {
  const events: string[] = [];
  for await (const event of readEvents(stream)) events.push(event);
  return events;
}

describe("readEvents", () => {
  it("joins lines of data, skips comments and other fields, drops an event that is not ended", async () => {
    const text = ': hello\nid: 1\ndata: a\ndata:b\n\nevent: x\n\r\ndata: {"c":1}\r\n\r\ndata: lost';
    expect(await collect(streamOf(text))).toEqual(["a\nb", '{"c":1}']);
  });

  it("does not depend on where the bytes are cut", async () => {
    const text = "data: größer – 你好\r\n\r\n: ping\r\n\r\ndata: 🙂\rdata: zwei\r\rdata: [DONE]\n\n";
    const expected = ["größer – 你好", "🙂\nzwei", "[DONE]"];
    expect(await collect(streamOf(text))).toEqual(expected);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(200), { maxLength: 12 }), async (cuts) => {
        expect(await collect(streamOf(text, cuts))).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });
});
