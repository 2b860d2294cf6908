/** @file A checkpoint behind a URL, read with HTTP range requests, in browsers and in Node. */
import { TurboQuantError } from "../errors.ts";
import type { OnProgress } from "../platform.ts";
import { checkRange, type FileSource, type ReadOptions, tooShort } from "./file-source.ts";
import { isGgufPath } from "./gguf/model-files.ts";
import { type FolderIndex, MAX_INDEX_BYTES, readIndex } from "./http-index.ts";
import { nameOfPlace } from "./model-name.ts";
import { isSafeFileName } from "./safe-file-name.ts";

/** The first request for a file asks for this many bytes, so that a small file takes only one request. */
const PROBE_BYTES = 64 * 1024;
/** A server without range support makes us hold the whole file; an ArrayBuffer in a browser ends near 2 GiB. */
const MAX_WHOLE_FILE_BYTES = 2 ** 31 - 1;

/** Folders of a folder that are looked into: more than there are kinds of quantization. */
const MAX_FOLDERS = 64;

/** Waits before a request is made again. */
const RETRY_AFTER_MS = [250, 1000, 4000];
/** Request timeout, too many requests, and faults of the server or of what stands before it. */
const BUSY = [408, 429, 500, 502, 503, 504];

interface OpenFile {
  readonly size: number;
  /** The beginning of the file, or the whole file when the server ignored the range. */
  readonly head: Uint8Array;
  readonly version: string | null;
}

export interface HttpSourceOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  readonly fetch?: typeof fetch;
  /** Appended to the address of every file, with its `?`. */
  readonly query?: string;
  /** The file that was named as the model. */
  readonly weights?: string;
  /** As in `FileSource`. */
  readonly quant?: string | null;
  /** Address of a list of all files, in place of the folder's own. */
  readonly listUrl?: string;
  /** What waits before another try are multiplied by; tests set 0. */
  readonly retryDelay?: number;
}

/** Whether the server asks for patience. */
const isBusy = (error: unknown): boolean =>
  error instanceof TurboQuantError && BUSY.includes(error.detail["status"] as number);
/** Whether the connection broke, of a server that has answered before. */
const isCut = (error: unknown): boolean => error instanceof TurboQuantError && error.cause !== undefined;

/** Ends early when one of the signals does. */
function pause(ms: number, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    for (const signal of signals) signal.addEventListener("abort", end);
  });
}

/** The size of the whole file, of an answer with a range of it; null where it is hidden. */
function totalOf(response: Response): number | null {
  const total = Number(response.headers.get("content-range")?.split("/")[1] ?? Number.NaN);
  return Number.isSafeInteger(total) ? total : null;
}

/** What changes with the content, where the server says it and a page may see it. */
const versionOf = ({ headers }: Response): string | null => headers.get("etag") ?? headers.get("last-modified");

/** What to do about a file that is too short. */
const TRUNCATED = "upload it again";

export class HttpSource implements FileSource {
  readonly name: string;
  readonly modelName: string;
  readonly weights?: string;
  readonly quant?: string | null;
  readonly #base: string;
  readonly #options: HttpSourceOptions;
  readonly #files = new Map<string, Promise<OpenFile | null>>();

  /** url: prefix of the files' URLs, absolute or relative to the page · name: for messages */
  constructor(url: string, options: HttpSourceOptions = {}, name = url) {
    this.#base = url.endsWith("/") ? url : `${url}/`;
    this.#options = options;
    this.name = name;
    this.modelName = name === url ? nameOfPlace(url) : name;
    if (options.weights !== undefined) this.weights = options.weights;
    if (options.quant !== undefined) this.quant = options.quant;
  }

  /**
   * What the server lists, and where the folder has no weights of its own, what it lists of the folders in it; nothing where it lists
   * no folders.
   */
  async list(): Promise<string[]> {
    const { listUrl, query = "" } = this.#options;
    const { files, folders } = await this.#index(listUrl ?? this.#base + query);
    if (files.some((file) => isGgufPath(file) || file.endsWith(".safetensors"))) return [...files];
    const inner = await Promise.all(
      folders.slice(0, MAX_FOLDERS).map(async (folder) => {
        const index = await this.#index(`${this.#base}${encodeURIComponent(folder)}/${query}`);
        return index.files.map((file) => `${folder}/${file}`);
      }),
    );
    return [...files, ...inner.flat()];
  }

  async #index(url: string): Promise<FolderIndex> {
    const { headers, signal } = this.#options;
    const response = await (this.#options.fetch ?? fetch)(url, {
      headers: { ...headers },
      ...(signal && { signal }),
    }).catch((error: unknown) => {
      if (signal?.aborted) throw error;
      return null;
    });
    const size = Number(response?.headers.get("content-length") ?? 0);
    if (!response?.ok || size > MAX_INDEX_BYTES) {
      await response?.body?.cancel();
      return { files: [], folders: [] };
    }
    return readIndex(await response.text(), response.headers.get("content-type") ?? "");
  }

  async has(file: string): Promise<boolean> {
    return isSafeFileName(file) && (await this.#open(file)) !== null;
  }

  async size(file: string): Promise<number> {
    return (await this.#require(file)).size;
  }

  async version(file: string): Promise<string | null> {
    return (await this.#require(file)).version;
  }

  async read(file: string, start: number, end: number, options: ReadOptions = {}): Promise<Uint8Array> {
    const opened = await this.#require(file);
    const { size, head } = opened;
    checkRange(this, file, [start, end], size, TRUNCATED);
    const bytes = end <= head.length ? head.slice(start, end) : await this.#range(file, opened, [start, end], options);
    // Who reads a file in ranges knows how many there are, and in which order they come.
    if (end - start === size)
      this.#options.onProgress?.({ phase: "download", item: file, done: end, total: size, unit: "bytes" });
    return bytes;
  }

  async #range(
    file: string,
    { size, version }: OpenFile,
    [start, end]: readonly [start: number, end: number],
    { into, signal }: ReadOptions,
  ): Promise<Uint8Array> {
    const isPassing = (error: unknown): boolean => isBusy(error) || isCut(error);
    return await this.#retried(isPassing, signal, async () => {
      const response = await this.#fetch(file, start, end, signal);
      if (response.status !== 206) {
        await response.body?.cancel();
        throw new TurboQuantError(
          "invalid_file",
          `${this.name}/${file}: expected HTTP 206 for a byte range, got ${response.status}; serve it from a server with range requests`,
          { file, status: response.status },
        );
      }
      const total = totalOf(response);
      if (total !== null && total !== size) {
        await response.body?.cancel();
        throw new TurboQuantError(
          "invalid_file",
          `${this.name}/${file}: expected a file of ${size} bytes, got one of ${total}; it was replaced while it was read, load the model again`,
          { file, expected: size, got: total },
        );
      }
      const now = versionOf(response);
      if (version !== null && now !== null && now !== version) {
        await response.body?.cancel();
        throw new TurboQuantError(
          "invalid_file",
          `${this.name}/${file}: expected version ${version}, got ${now}; it was replaced while it was read, load the model again`,
          { file, expected: version, got: now },
        );
      }
      const bytes = await this.#body(
        file,
        response,
        into && into.length >= end - start ? into.subarray(0, end - start) : undefined,
      );
      if (bytes.length !== end - start) throw tooShort(this, file, end, start + bytes.length, TRUNCATED);
      return bytes;
    });
  }

  /** Tries again after errors that may pass, after longer and longer waits. */
  async #retried<T>(
    isPassing: (error: unknown) => boolean,
    signal: AbortSignal | undefined,
    attempt: () => Promise<T>,
  ): Promise<T> {
    const signals = [signal, this.#options.signal].filter((each) => each !== undefined);
    for (let tries = 0; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (tries === RETRY_AFTER_MS.length || signals.some(({ aborted }) => aborted) || !isPassing(error)) throw error;
        await pause(RETRY_AFTER_MS[tries]! * (this.#options.retryDelay ?? 1), signals);
      }
    }
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
      `${this.name}/${file}: not found (HTTP 404); check the URL${file === "config.json" ? ", which for a GGUF model is that of its file," : ","} or upload the missing file`,
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

  #probe(file: string): Promise<OpenFile | null> {
    return this.#retried(isBusy, undefined, () => this.#probeOnce(file));
  }

  async #probeOnce(file: string): Promise<OpenFile | null> {
    const response = await this.#fetch(file, 0, PROBE_BYTES);
    const version = versionOf(response);
    if (response.status === 404) return null;
    // 416 Range Not Satisfiable: no range fits into an empty file.
    if (response.status === 416) return { size: 0, head: new Uint8Array(0), version };
    if (response.status === 206) {
      const head = await this.#body(file, response);
      const total = totalOf(response);
      if (total !== null) return { size: total, head, version };
      // Without CORS permission a page cannot see Content-Range. An answer shorter than the range is the whole file.
      if (head.length < PROBE_BYTES) return { size: head.length, head, version };
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
    return { size: head.length, head, version };
  }

  async #fetch(file: string, start: number, end: number, own?: AbortSignal): Promise<Response> {
    const { headers } = this.#options;
    const signal = own ?? this.#options.signal;
    const url = this.#base + file.split("/").map(encodeURIComponent).join("/") + (this.#options.query ?? "");
    try {
      return await (this.#options.fetch ?? fetch)(url, {
        headers: { ...headers, Range: `bytes=${start}-${end - 1}` },
        ...(signal && { signal }),
      });
    } catch (error) {
      throw this.#networkError(file, error);
    }
  }

  /** into: memory for as many bytes as were asked for */
  async #body(file: string, response: Response, into?: Uint8Array): Promise<Uint8Array> {
    try {
      if (!into || !response.body) return new Uint8Array(await response.arrayBuffer());
      const reader = response.body.getReader();
      let done = 0;
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        // Of a server that sends more than was asked for, the rest is left.
        const { length } = piece.value;
        into.set(piece.value.subarray(0, into.length - done), done);
        done += length;
        if (done > into.length) await reader.cancel();
      }
      return into.subarray(0, done);
    } catch (error) {
      throw this.#networkError(file, error);
    }
  }

  #networkError(file: string, error: unknown): unknown {
    if (this.#options.signal?.aborted || (error instanceof Error && error.name === "AbortError")) return error;
    return new TurboQuantError(
      "invalid_file",
      `${this.name}/${file}: the server cannot be reached or refuses pages of this origin; check the connection, the URL and CORS`,
      { file },
      { cause: error },
    );
  }
}
