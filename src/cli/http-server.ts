/** @file The HTTP server around the application: listening, limits, shutdown. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener, RequestError } from "@hono/node-server";
import { TurboQuantError } from "../errors.ts";
import { answerUnread, malformedRequest } from "./unread-requests.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** The longest time a client may take to send its headers, and the whole request. */
  readonly requestTimeoutMs: number;
  /** How long a connection stays open without a request. */
  readonly keepAliveMs: number;
}

const IDLE_CHECK_MS = 50;

export interface Listening {
  readonly url: string;
  readonly port: number;
  /** Accepts no more connections and closes idle ones; resolves when the last one has ended. */
  stop(): Promise<void>;
  /** Closes the connections that are still open. */
  destroy(): void;
}

/** @throws TurboQuantError invalid_argument — the address is in use, or does not belong to this machine */
export async function listen(
  fetch: (request: Request, env: object) => Response | Promise<Response>,
  { host, port, requestTimeoutMs, keepAliveMs }: ListenOptions,
): Promise<Listening> {
  const listener = getRequestListener(fetch, {
    overrideGlobalObjects: false,
    errorHandler: (error) => (error instanceof RequestError ? malformedRequest() : new Response(null, { status: 500 })),
  });
  const server = createServer(
    {
      // Limits the time to send a request, which ends silent connections. The answer may take any time.
      headersTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: Math.min(5000, Math.max(100, requestTimeoutMs / 4)),
      maxHeaderSize: 16 << 10,
    },
    (incoming, outgoing) => void listener(incoming, outgoing),
  );
  answerUnread(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => reject(listenError(cause, host, port)));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}`,
    port: address.port,
    stop: () =>
      new Promise<void>((resolve) => {
        // A connection that is kept alive becomes idle after its answer. Node has no event for that, so it is polled.
        const timer = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
        server.close(() => {
          clearInterval(timer);
          resolve();
        });
      }),
    destroy: () => server.closeAllConnections(),
  };
}

function listenError(cause: NodeJS.ErrnoException, host: string, port: number): TurboQuantError {
  const why =
    cause.code === "EADDRINUSE"
      ? "another program listens there; choose another --port, or 0 for a free one"
      : cause.code === "EACCES"
        ? "this user may not listen there; choose a --port from 1024 on"
        : `${cause.code}; check --host and --port`;
  return new TurboQuantError("invalid_argument", `serve: cannot listen on ${host}:${port}: ${why}`, {}, { cause });
}

/** The client's address, from the environment that @hono/node-server passes on. */
export function remoteAddress(env: unknown): string {
  const incoming = (env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined)?.incoming;
  return incoming?.socket?.remoteAddress ?? "";
}
