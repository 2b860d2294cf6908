/** @file A bucket in memory behind S3's protocol, as far as objects are put, asked for and got. Signatures are checked, as Amazon describes them (SigV4). */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export const S3_ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: "AKIDEXAMPLE",
  AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
  AWS_REGION: "eu-central-1",
} as const;

const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const sha256 = (bytes: string | Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** Whether a request carries the signature that its other parts, and the secret, come to. */
function isSigned({ method, url, headers }: IncomingMessage, body: Buffer): boolean {
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=(\S+?)\/(\d{8})\/(\S+?)\/s3\/aws4_request, SignedHeaders=(\S+), Signature=(\w{64})$/;
  const [, id, day, region, names = "", signature = ""] = pattern.exec(headers.authorization ?? "") ?? [];
  const date = String(headers["x-amz-date"]);
  const payload = String(headers["x-amz-content-sha256"]);
  const signed = names.split(";");
  if (id !== S3_ENVIRONMENT.AWS_ACCESS_KEY_ID || region !== S3_ENVIRONMENT.AWS_REGION || !date.startsWith(day!))
    return false;
  if (!["host", "x-amz-date", "x-amz-content-sha256"].every((name) => signed.includes(name))) return false;
  if (payload !== "UNSIGNED-PAYLOAD" && payload !== sha256(body)) return false;
  const [path, query = ""] = url!.split("?");
  const lines = signed.map((name) => `${name}:${String(headers[name]).trim()}\n`).join("");
  const request = [method, path, query, lines, names, payload].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", date, scope, sha256(request)].join("\n");
  const steps = [day!, region!, "s3", "aws4_request"];
  const key = steps.reduce<string | Buffer>(
    (before, step) => hmac(before, step),
    `AWS4${S3_ENVIRONMENT.AWS_SECRET_ACCESS_KEY}`,
  );
  return timingSafeEqual(hmac(key, text), Buffer.from(signature, "hex"));
}

export interface S3Server extends AsyncDisposable {
  readonly url: string;
  /** By path, the bucket first. */
  readonly objects: Map<string, Buffer>;
  /** Method, first letter of the key and status of all answers, such as `GET a 404`, in the order in which they were given. */
  readonly answers: string[];
}

export async function startS3(bucket: string): Promise<S3Server> {
  const objects = new Map<string, Buffer>();
  const answers: string[] = [];
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const answer = (status: number, bytes: Buffer | string = ""): void => {
      answers.push(`${request.method} ${request.url!.split("/").at(-1)![0]} ${status}`);
      response
        .writeHead(status, { "content-length": Buffer.byteLength(bytes) })
        .end(request.method === "HEAD" ? "" : bytes);
    };
    const error = (status: number, code: string): void => answer(status, `<Error><Code>${code}</Code></Error>`);
    const path = decodeURIComponent(request.url!);
    if (!isSigned(request, body)) return error(403, "SignatureDoesNotMatch");
    if (!path.startsWith(`/${bucket}/`)) return error(404, "NoSuchBucket");
    if (request.method === "PUT") {
      objects.set(path, body);
      return answer(200);
    }
    const object = objects.get(path);
    if (!object) return error(404, "NoSuchKey");
    answer(200, object);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    answers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
