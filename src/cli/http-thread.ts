/** @file The thread of the sockets, started by start-http.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { TurboQuantError } from "../errors.ts";
import { Gate } from "../server/gate.ts";
import { listen, remoteAddress } from "./http-server.ts";
import type { FromHttp, HttpThreadData, ToHttp } from "./start-http.ts";

const { port, gate: gateOptions, listen: listenOptions } = workerData as HttpThreadData;
const parent = parentPort!;
const post = (message: FromHttp): void => parent.postMessage(message);
const gate = new Gate(port as unknown as globalThis.MessagePort, gateOptions);
try {
  const server = await listen((request, env) => gate.fetch(request, remoteAddress(env)), listenOptions);
  parent.on("message", (message: ToHttp) => {
    if (message === "stop") void server.stop().then(() => post({ kind: "stopped" }));
    else server.destroy();
  });
  post({ kind: "listening", url: server.url, port: server.port });
} catch (error) {
  if (!(error instanceof TurboQuantError)) throw error;
  post({ kind: "refused", code: error.code, message: error.message });
  gate.close();
  parent.close();
}
