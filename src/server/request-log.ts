/** @file The line in the log and the count of a request that is over. */
import type { ServerOptions } from "./server-context.ts";

export interface RequestLine {
  readonly id: string;
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly ms: number;
}

/** modelName: of the model that the request was for, where it was for one */
export function logRequest(
  { metrics, logger }: Pick<ServerOptions, "metrics" | "logger">,
  line: RequestLine,
  modelName?: string,
): void {
  metrics.onResponse(line.route, line.status, modelName);
  if (line.status >= 500) logger.warn(line, "request");
  else logger.info(line, "request");
}
