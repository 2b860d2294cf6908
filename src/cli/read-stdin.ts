/** @file Reads standard input as one text. */
import type { CliIo } from "./io.ts";

/** Whoever reads what nobody writes says so after this time. */
const SILENT_MS = 2000;

/** onSilence: called once when nothing has come for a while */
export async function readAll({ stdin }: CliIo, onSilence: () => void = () => {}): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  const timer = setTimeout(onSilence, SILENT_MS);
  try {
    for await (const chunk of stdin) {
      clearTimeout(timer);
      text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    }
  } finally {
    clearTimeout(timer);
  }
  return text + decoder.decode();
}
