/** @file A checkpoint behind a URL, read with HTTP range requests, in browsers and in Node. */
import { TurboQuantError } from "../errors.ts";
import type { OnProgress } from "../platform.ts";
import type { FileSource } from "./file-source.ts";
import { nameOfPlace } from "./model-name.ts";
import { isSafeFileName } from "./safe-file-name.ts";

/** The first request for a file asks for this many bytes, so that a small file takes only one request. */
const PROBE_BYTES = 64 * 1024;
/** A server without range support makes us hold the whole file; an ArrayBuffer in a browser ends near 2 GiB. */
const MAX_WHOLE_FILE_BYTES = 2 ** 31 - 1;

interface OpenFile {
  readonly size: number;
  /** The beginning of the file, or the whole file when the server ignored the range. */
  readonly head: Uint8Array;
}

export interface HttpSourceOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  readonly fetch?: typeof fetch;
}

export class HttpSource implements FileSource {
  readonly name: string;
  readonly modelName: string;
  readonly #base: string;
  readonly #options: HttpSourceOptions;
  readonly #files = new Map<string, Promise<OpenFile | null>>();

  /** url: prefix of the files' URLs, absolute or relative to the page · name: for messages */
  constructor(url: string, options: HttpSourceOptions = {}, name = url) {
    this.#base = url.endsWith("/") ? url : `${url}/`;
    this.#options = options;
    this.name = name;
    this.modelName = name === url ? nameOfPlace(url) : name;
  }

  async has(file: string): Promise<boolean> {
    return isSafeFileName(file) && (await this.#open(file)) !== null;
  }

  async size(file: string): Promise<number> {
    return (await this.#require(file)).size;
  }

  async read(file: string, start: number, end: number): Promise<Uint8Array> {
    const { size, head } = await this.#require(file);
    if (!(start >= 0 && start <= end)) {
      throw new TurboQuantError(
        "invalid_argument",
        `${this.name}/${file}: expected a byte range, got [${start}, ${end})`,
      );
    }
    if (end > size) throw this.#short(file, end, size);
    let bytes: Uint8Array;
    if (end <= head.length) bytes = head.slice(start, end);
    else {
      const response = await this.#fetch(file, start, end);
      if (response.status !== 206) {
        await response.body?.cancel();
        throw new TurboQuantError(
          "invalid_file",
          `${this.name}/${file}: expected HTTP 206 for a byte range, got ${response.status}; serve it from a server with range requests`,
          { file, status: response.status },
        );
      }
      bytes = await this.#body(file, response);
      if (bytes.length !== end - start) throw this.#short(file, end, start + bytes.length);
    }
    this.#options.onProgress?.({ phase: "download", item: file, done: end, total: size, unit: "bytes" });
    return bytes;
  }

  async close(): Promise<void> {
    this.#files.clear();
  }

  async #require(file: string): Promise<OpenFile> {
    if (!isSafeFileName(file)) {
      throw new TurboQuantError(
        "invalid_file",
        `${this.name}: expected a file inside the checkpoint, got "${file}"; do not trust this checkpoint`,
      );
    }
    const opened = await this.#open(file);
    if (opened) return opened;
    throw new TurboQuantError(
      "invalid_file",
      `${this.name}/${file}: not found (HTTP 404); check the URL, or upload the missing file`,
      { file },
    );
  }

  #open(file: string): Promise<OpenFile | null> {
    let opened = this.#files.get(file);
    if (!opened) {
      opened = this.#probe(file);
      this.#files.set(file, opened);
      opened.catch(() => this.#files.delete(file));
    }
    return opened;
  }

  async #probe(file: string): Promise<OpenFile | null> {
    const response = await this.#fetch(file, 0, PROBE_BYTES);
    if (response.status === 404) return null;
    // 416 Range Not Satisfiable: no range fits into an empty file.
    if (response.status === 416) return { size: 0, head: new Uint8Array(0) };
    if (response.status === 206) {
      const head = await this.#body(file, response);
      const total = Number(response.headers.get("content-range")?.split("/")[1] ?? Number.NaN);
      if (Number.isSafeInteger(total)) return { size: total, head };
      // Without CORS permission a page cannot see Content-Range. An answer shorter than the range is the whole file.
      if (head.length < PROBE_BYTES) return { size: head.length, head };
      throw new TurboQuantError(
        "invalid_file",
        `${this.name}/${file}: expected a Content-Range header, got none; let the server expose it (Access-Control-Expose-Headers: Content-Range)`,
        { file },
      );
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw new TurboQuantError(
        "invalid_file",
        `${this.name}/${file}: expected HTTP 200 or 206, got ${response.status}; check the URL and the access rights`,
        { file, status: response.status },
      );
    }
    const announced = Number(response.headers.get("content-length") ?? 0);
    if (announced > MAX_WHOLE_FILE_BYTES) {
      await response.body?.cancel();
      throw new TurboQuantError(
        "invalid_file",
        `${this.name}/${file}: the server ignores byte ranges and ${announced} bytes do not fit one buffer; serve it with range requests`,
        { file, bytes: announced },
      );
    }
    const head = await this.#body(file, response);
    return { size: head.length, head };
  }

  async #fetch(file: string, start: number, end: number): Promise<Response> {
    const { headers, signal } = this.#options;
    const url = this.#base + file.split("/").map(encodeURIComponent).join("/");
    try {
      return await (this.#options.fetch ?? fetch)(url, {
        headers: { ...headers, Range: `bytes=${start}-${end - 1}` },
        ...(signal && { signal }),
      });
    } catch (error) {
      throw this.#networkError(file, error);
    }
  }

  async #body(file: string, response: Response): Promise<Uint8Array> {
    try {
      return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      throw this.#networkError(file, error);
    }
  }

  #networkError(file: string, error: unknown): unknown {
    if (this.#options.signal?.aborted) return error;
    return new TurboQuantError(
      "invalid_file",
      `${this.name}/${file}: the server cannot be reached or refuses pages of this origin; check the connection, the URL and CORS`,
      { file },
      { cause: error },
    );
  }

  #short(file: string, expected: number, got: number): TurboQuantError {
    return new TurboQuantError(
      "invalid_file",
      `${this.name}/${file}: expected at least ${expected} bytes, got ${got}; the file is truncated, upload it again`,
      { file, expected, got },
    );
  }
}
