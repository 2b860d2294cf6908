/**
 * @file One run of the AssemblyScript compiler, for tools/build-wasm.ts. Threads of a process share the machine code of Binaryen, which is WebAssembly
 * itself; processes would each make it anew.
 */
import { parentPort, workerData } from "node:worker_threads";
import { main } from "assemblyscript/asc";

let messages = "";
const keep = { write: (text) => (messages += text) };
const { error } = await main(workerData, { stdout: keep, stderr: keep });
parentPort.postMessage(error ? `${messages}${error}` : null);
