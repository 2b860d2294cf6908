/** @file Lines of a terminal: pastes, history and completion, typed into a stream. */
import { PassThrough } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { captureIo } from "../../../test/support/cli-io.ts";
import { LineReader, type LineReaderOptions } from "./line-reader.ts";

let reader: LineReader | undefined;
afterEach(() => reader?.close());

function terminal(options: Partial<LineReaderOptions> = {}) {
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => stdin });
  const screen = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24 });
  let shown = "";
  screen.on("data", (chunk) => {
    shown += chunk;
  });
  const io = { ...captureIo({ stdin, isTTY: true }), terminal: screen };
  reader = new LineReader(io, { onInterrupt: () => {}, ...options });
  return { reader, type: (text: string) => stdin.write(text), shown: () => shown };
}

describe("a terminal", () => {
  it("takes several pasted lines as one message, which Enter sends", async () => {
    const { reader, type, shown } = terminal();
    const message = reader.next();
    type('\x1b[200~for x in y \\\\\r"""\rdone\x1b[201~');
    type(" now\r");
    expect(await message).toBe('for x in y \\\\\n"""\ndone now');
    expect(shown()).toContain("\x1b[?2004h");
    const next = reader.next();
    type("alone\r");
    expect(await next).toBe("alone");
    reader.close();
    expect(shown()).toContain("\x1b[?2004l");
    expect(await reader.next()).toBeNull();
  });

  it("has what was said before, and keeps what is said", async () => {
    const kept: (readonly string[])[] = [];
    const { reader, type } = terminal({ history: ["before"], onHistory: (lines) => kept.push([...lines]) });
    const message = reader.next();
    type("\x1b[A!\r");
    expect(await message).toBe("before!");
    expect(kept.at(-1)).toEqual(["before!", "before"]);
  });

  it("completes", async () => {
    const { reader, type } = terminal({
      complete: (line) => [["/regen"].filter((name) => name.startsWith(line)), line],
    });
    const message = reader.next();
    type("/re\t");
    await new Promise((resolve) => setTimeout(resolve, 5));
    type("\r");
    expect((await message)?.trim()).toBe("/regen");
  });
});
