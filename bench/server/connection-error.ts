/** @file Why a request came to no answer: what `fetch` and the clients that are made on it keep in causes of causes. */

const chain = (error: unknown): Error[] => (error instanceof Error ? [error, ...chain(error.cause)] : []);

/** The messages of an error and of all its causes. */
export const reasonsOf = (error: unknown): string =>
  chain(error)
    .map(({ message }) => message)
    .join(": ");

/** Whether the connection was closed before any answer. A server may close an idle one as a request goes out on it, so clients send such a request again. */
export const isConnectionClosed = (error: unknown): boolean =>
  chain(error).some(({ code }: Error & { code?: unknown }) => code === "ECONNRESET" || code === "UND_ERR_SOCKET");
