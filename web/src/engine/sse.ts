/** @file Yields the `data` of each server-sent event in a response body as it arrives (WHATWG HTML 9.2). */

/** Network chunks may end anywhere, even inside a character. */
export async function* readEvents(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      // A carriage return at the end may be the first half of a CRLF.
      const isWhole = done || !rest.endsWith("\r");
      const lines = (isWhole ? rest : rest.slice(0, -1)).split(/\r\n|\r|\n/);
      rest = (lines.pop() ?? "") + (isWhole ? "" : "\r");
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield data.join("\n");
          data = [];
        } else if (line.startsWith("data:")) data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
      }
      // An event without a blank line after it is incomplete and is dropped.
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
