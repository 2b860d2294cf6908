/** @file Receives the bytes of a request, of one and of all that are under way no more than there may be. */
import { ApiError } from "./api-error.ts";
import { BodyScan } from "./body-scan.ts";

/** The most characters of a header that an error message repeats. */
const MAX_SHOWN = 80;
/** Bodies of the greatest length that may be under way at once. */
const MAX_WHOLE = 16;

const tooLong = (limit: number): ApiError =>
  new ApiError(413, `body: expected at most ${limit} bytes; send less, or start the server with a larger --max-body`, {
    code: "body_too_large",
  });

export class BodyReader {
  readonly #limit: number;
  #held = 0;

  /** limit: bytes of one body */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws ApiError 413 — too long; 415 — packed; 400 — it ended early, or is too deep; 503 — too many bytes of others are under way */
  async read(request: Request): Promise<Uint8Array<ArrayBuffer>> {
    const encoding = request.headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") {
      throw new ApiError(
        415,
        `body: expected it as it is, got content-encoding ${encoding.slice(0, MAX_SHOWN)}; send it without`,
        { code: "unsupported_encoding" },
      );
    }
    if (Number(request.headers.get("content-length") ?? 0) > this.#limit) throw tooLong(this.#limit);
    const reader = request.body?.getReader();
    if (!reader) return new Uint8Array(0);
    let length = 0;
    let held = 0;
    let refusal: ApiError | null = null;
    try {
      const parts: Uint8Array[] = [];
      const scan = new BodyScan();
      for (;;) {
        const next = await reader.read().catch(() => {
          throw new ApiError(400, "body: it ended early; send as many bytes as content-length says", {
            code: "body_incomplete",
          });
        });
        if (next.done) break;
        length += next.value.length;
        if (length > this.#limit) {
          await reader.cancel().catch(() => {});
          throw tooLong(this.#limit);
        }
        // What is left of a body that is refused is received and forgotten, as the connection would be closed before the client's next request otherwise.
        if (refusal) continue;
        held += next.value.length;
        this.#held += next.value.length;
        refusal = this.#refusal(scan.push(next.value));
        if (!refusal) parts.push(next.value);
        else {
          parts.length = 0;
          this.#held -= held;
          held = 0;
        }
      }
      if (refusal) throw refusal;
      return joined(parts, length);
    } finally {
      this.#held -= held;
    }
  }

  #refusal(tooMuch: string | null): ApiError | null {
    if (tooMuch) return new ApiError(400, `body: expected ${tooMuch}; split the request`, { code: "invalid_value" });
    if (this.#held <= MAX_WHOLE * this.#limit) return null;
    return new ApiError(
      503,
      "body: the requests of others that are being received fill the memory for them; try again",
      {
        code: "unavailable",
        headers: { "retry-after": "1" },
      },
    );
  }
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
