/** @file The text of a PDF, page by page, by pdf.js. The library is large and is imported with this file. */
import { GlobalWorkerOptions, getDocument, type PDFDocumentProxy } from "pdfjs-dist";
import workerUrl from "pdfjs-dist/build/pdf.worker.min.mjs?url";
import { joinLines } from "./join-lines.ts";
import { DocumentError, type ReadOptions } from "./read-document.ts";

GlobalWorkerOptions.workerSrc = new URL(workerUrl, import.meta.url).href;

/** @throws DocumentError — broken or locked */
export async function readPdf(
  name: string,
  data: Uint8Array,
  { onProgress, signal }: ReadOptions,
): Promise<{ readonly text: string; readonly pages: number }> {
  const task = getDocument({ data, isEvalSupported: false, disableFontFace: true, verbosity: 0 });
  try {
    const pdf = await task.promise;
    const pages: string[] = [];
    for (let page = 1; page <= pdf.numPages; page++) {
      signal?.throwIfAborted();
      pages.push(await textOfPage(pdf, page));
      onProgress?.({ done: page, total: pdf.numPages });
    }
    return { text: pages.filter(Boolean).join("\n\n"), pages: pdf.numPages };
  } catch (error) {
    if (signal?.aborted) throw error;
    const kind = error instanceof Error ? error.name : "";
    if (kind === "PasswordException") {
      throw new DocumentError(`${name} is locked with a password. Print it to a PDF without one, and drop that.`);
    }
    throw new DocumentError(
      `${name} is broken and cannot be read (${error instanceof Error ? error.message.replace(/\.$/, "") : error}). Open it elsewhere and save it again.`,
    );
  } finally {
    await task.destroy();
  }
}

async function textOfPage(pdf: PDFDocumentProxy, number: number): Promise<string> {
  const page = await pdf.getPage(number);
  const { items } = await page.getTextContent();
  page.cleanup();
  const text = items.map((item) => ("str" in item ? item.str + (item.hasEOL ? "\n" : "") : "")).join("");
  return joinLines(text.trim());
}
