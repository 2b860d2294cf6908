/**
 * @file A hub on localhost that answers as the real one does: revisions, file trees in pages, small files itself, large ones by a
 * redirect to a second server that knows ranges; and the faults that networks have.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What happens to one request for a file's bytes instead of a whole answer. */
export interface Fault {
  /** The connection is cut after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Nothing more is sent after so many bytes. */
  readonly silentAfter?: number;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answers with the whole file whatever range was asked for. */
  readonly ignoresRange?: boolean;
  /** Sends other bytes of the same number. */
  readonly isDamaged?: boolean;
}

export interface FakeRepo {
  files: Record<string, Uint8Array | string>;
  commit?: string;
  /** The file list can be read, the files only with a token. */
  isGated?: boolean;
}

export interface SeenRequest {
  readonly server: "hub" | "store";
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** Larger files lie on the second server, with a SHA-256. */
const LARGE = 1000;
const TOKEN = "hf_test";

export class HubServer {
  readonly repos = new Map<string, FakeRepo>();
  readonly seen: SeenRequest[] = [];
  /** Taken one by one by requests for bytes of large files; `api` by those for revisions and trees. */
  readonly faults: Fault[] = [];
  readonly apiFaults: Fault[] = [];
  /** Files in a page of the tree. */
  pageSize = 1000;
  #hub!: Server;
  #store!: Server;

  static async start(): Promise<HubServer> {
    const server = new HubServer();
    server.#hub = await listen((request, response) => server.#answer(request, response));
    server.#store = await listen((request, response) => server.#answerStore(request, response));
    return server;
  }

  get endpoint(): string {
    return address(this.#hub);
  }

  async close(): Promise<void> {
    for (const server of [this.#hub, this.#store]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Paths of the requests for bytes. */
  downloads(): string[] {
    return this.seen
      .filter(({ path }) => path.includes("/resolve/"))
      .map(({ path }) => path.replace(/.*\/resolve\/[^/]+\//, ""));
  }

  #note(server: "hub" | "store", request: IncomingMessage, path: string): void {
    const { authorization, range } = request.headers;
    this.seen.push({ server, path, authorization, range });
  }

  #answer(request: IncomingMessage, response: ServerResponse): unknown {
    const url = new URL(request.url!, "http://hub");
    const path = decodeURIComponent(url.pathname);
    this.#note("hub", request, path);
    const [, api, repoName = "", kind = "", rest = ""] =
      /^(\/api\/models)?\/([^/]+\/[^/]+)\/(revision|tree|resolve)\/(.*)$/.exec(path) ?? [];
    const repo = this.repos.get(repoName);
    if (!repo) return refuse(response, 401, "RepoNotFound");
    const commit = repo.commit ?? "0123456789abcdef0123456789abcdef01234567";
    if (!api) return this.#resolve(repo, commit, rest, request, response);
    const fault = this.apiFaults.shift();
    if (fault?.status) return refuse(response, fault.status, null, fault.headers);
    if (kind === "revision") {
      if (rest !== "main" && rest !== commit) return refuse(response, 404, "RevisionNotFound");
      return json(response, { id: repoName, sha: commit });
    }
    const entries = Object.entries(repo.files).map(([file, content]) => treeEntry(file, bytesOf(content)));
    const start = Number(url.searchParams.get("cursor") ?? 0);
    const end = start + this.pageSize;
    const next = `<${this.endpoint}${url.pathname}?recursive=true&cursor=${end}>; rel="next"`;
    return json(response, entries.slice(start, end), end < entries.length ? { link: next } : {});
  }

  #resolve(repo: FakeRepo, commit: string, rest: string, request: IncomingMessage, response: ServerResponse): unknown {
    const path = rest.slice(rest.indexOf("/") + 1);
    if (repo.isGated && request.headers.authorization !== `Bearer ${TOKEN}`) return refuse(response, 401, "GatedRepo");
    const content = repo.files[path];
    if (content === undefined) return refuse(response, 404, "EntryNotFound");
    const bytes = bytesOf(content);
    const head = { "x-repo-commit": commit, "accept-ranges": "bytes" };
    if (bytes.length <= LARGE) return this.#send(bytes, request, response, { ...head, etag: `"${gitHash(bytes)}"` });
    const location = `${address(this.#store)}/${request.url!.split("/resolve/")[0]!.slice(1)}/resolve/x/${path}?signature=1`;
    return response
      .writeHead(302, { ...head, location, "x-linked-etag": `"${sha256(bytes)}"`, "x-linked-size": `${bytes.length}` })
      .end();
  }

  #answerStore(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url!, "http://store");
    this.#note("store", request, `store:${pathname}`);
    const [, repoName = "", path = ""] =
      /^\/([^/]+\/[^/]+)\/resolve\/x\/(.*)$/.exec(decodeURIComponent(pathname)) ?? [];
    this.#send(bytesOf(this.repos.get(repoName)!.files[path]!), request, response, {});
  }

  #send(bytes: Uint8Array, request: IncomingMessage, response: ServerResponse, head: Record<string, string>): unknown {
    const fault = (request.headers.host === new URL(this.endpoint).host ? undefined : this.faults.shift()) ?? {};
    if (fault.status) return refuse(response, fault.status, null, fault.headers);
    const range = fault.ignoresRange ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length;
    const body = fault.isDamaged ? new Uint8Array(end - start).fill(7) : bytes.subarray(start, end);
    response.writeHead(range ? 206 : 200, {
      ...head,
      "content-length": body.length,
      ...(range && { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` }),
    });
    const limit = fault.cutAfter ?? fault.silentAfter;
    if (limit === undefined) return response.end(body);
    return response.write(body.subarray(0, limit), () => {
      // Ended, not destroyed: what was sent arrives, however busy the machine is.
      if (fault.cutAfter !== undefined) response.socket?.end();
    });
  }
}

const listen = async (answer: (request: IncomingMessage, response: ServerResponse) => unknown): Promise<Server> => {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
};

const address = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const bytesOf = (content: Uint8Array | string): Uint8Array =>
  typeof content === "string" ? new TextEncoder().encode(content) : content;

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export const gitHash = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

function treeEntry(path: string, bytes: Uint8Array) {
  const size = bytes.length;
  const lfs = size > LARGE && { lfs: { oid: sha256(bytes), size, pointerSize: 130 } };
  return { type: "file", path, size, oid: gitHash(bytes), ...lfs };
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string | null,
  headers: Readonly<Record<string, string>> = {},
): void {
  response
    .writeHead(status, { ...headers, ...(code && { "x-error-code": code }) })
    .end(JSON.stringify({ error: "refused" }));
}

function json(response: ServerResponse, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
}
