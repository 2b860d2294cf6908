/** @file Reads the text of a file that was dropped, pasted or picked: text, Markdown, code, and PDF by a library that is loaded when the first one comes. */

import { formatBytes } from "../ui/format.ts";

/** The text of a document, to be asked about. */
export interface DocumentText {
  readonly name: string;
  readonly text: string;
  /** Of a PDF. */
  readonly pages?: number;
}

export interface ReadProgress {
  /** Pages of a PDF. */
  readonly done: number;
  readonly total: number;
}

export interface ReadOptions {
  readonly onProgress?: (progress: ReadProgress) => void;
  readonly signal?: AbortSignal;
}

/** Why a file cannot be read, in a sentence for the user. */
export class DocumentError extends Error {
  override readonly name = "DocumentError";
}

/** More than any model's context holds, by far: some five million tokens. */
export const MAX_TEXT_BYTES = 20e6;
/** A PDF is held in memory, mostly pictures that are never drawn. */
const MAX_PDF_BYTES = 300e6;
/** What is no text has one of these early. */
const SNIFFED_BYTES = 4096;

/** @throws DocumentError — empty, too large, no text, broken or locked */
export async function readDocument(file: File, options: ReadOptions = {}): Promise<DocumentText> {
  const { name } = file;
  if (file.size === 0) throw new DocumentError(`${name} is empty.`);
  const head = new Uint8Array(await file.slice(0, SNIFFED_BYTES).arrayBuffer());
  if (isPdf(head)) {
    if (file.size > MAX_PDF_BYTES) throw tooLarge(name, file.size, MAX_PDF_BYTES);
    const { readPdf } = await import("./read-pdf.ts").catch(() => {
      throw new DocumentError(`${name}: what reads PDFs could not be loaded; check the connection and drop it again.`);
    });
    const { text, pages } = await readPdf(name, new Uint8Array(await file.arrayBuffer()), options);
    return checked({ name, text, pages });
  }
  if (/\.pdf$/i.test(name))
    throw new DocumentError(`${name} is broken: it does not begin as a PDF does. Open it elsewhere and save it again.`);
  if (file.size > MAX_TEXT_BYTES) throw tooLarge(name, file.size, MAX_TEXT_BYTES);
  return checked({ name, text: decode(name, new Uint8Array(await file.arrayBuffer())) });
}

const isPdf = (head: Uint8Array): boolean =>
  // Some programs write a few bytes before the mark.
  new TextDecoder("latin1").decode(head.subarray(0, 1024)).includes("%PDF-");

function tooLarge(name: string, bytes: number, most: number): DocumentError {
  return new DocumentError(
    `${name} has ${formatBytes(bytes)}, more than any model here can read (${formatBytes(most)}); drop the part that you ask about.`,
  );
}

function checked(document: DocumentText): DocumentText {
  const text = document.text.replace(/\r\n?/g, "\n").trim();
  if (new TextEncoder().encode(text).length > MAX_TEXT_BYTES)
    throw tooLarge(document.name, text.length, MAX_TEXT_BYTES);
  if (text !== "") return { ...document, text };
  throw new DocumentError(
    document.pages === undefined
      ? `${document.name} has no text in it.`
      : `${document.name} has no text in it: its ${document.pages === 1 ? "page is a picture" : `${document.pages} pages are pictures`}. Recognize the text with another program first.`,
  );
}

/** UTF-8, or UTF-16 with its mark; old encodings of one byte a character are taken as Western European. */
function decode(name: string, bytes: Uint8Array): string {
  const mark = bytes[0]! * 256 + (bytes[1] ?? 0);
  if (mark === 0xfffe) return new TextDecoder("utf-16le").decode(bytes);
  if (mark === 0xfeff) return new TextDecoder("utf-16be").decode(bytes);
  if (bytes.subarray(0, SNIFFED_BYTES).includes(0)) {
    throw new DocumentError(
      `${name} is no text, and no PDF. Drop text, Markdown, code or a PDF; a model is a .gguf file or a folder.`,
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}
