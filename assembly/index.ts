/**
 * @file Every kernel of the module. Each is `name(task, params, scratch)`: `params` points to a parameter block, `scratch`
 * to an area of the calling thread. None holds state: each thread has its own instance over one memory.
 */
export { appendRows } from "./store/append";
export { appendLatentRows, prepareLatentQueries } from "./store/append-latent";
export { attendDecode, attendMerge, attendPrefill, scoreTokens } from "./attend/kernels";
export { activate } from "./elementwise/activate";
export { convolve } from "./elementwise/convolve";
export { deltaRule } from "./states/delta-rule";
export { embed } from "./elementwise/embed";
export { gate } from "./elementwise/gate";
export { mix } from "./elementwise/mix";
export { mixStreams } from "./elementwise/mix-streams";
export { norm } from "./elementwise/norm";
export { resizeParts } from "./elementwise/resize-parts";
export { rmsNorm } from "./elementwise/rms-norm";
export { scaleColumns } from "./elementwise/scale-columns";
export { scan } from "./elementwise/scan";
export { selfTest } from "./elementwise/self-test";
export { softcap } from "./elementwise/softcap";
export { swiglu } from "./elementwise/swiglu";
export { convertToBf16, convertToF16, convertToF32, convertToQ4, convertToQ8 } from "./linear/convert";
export { linearBf16, linearF16, linearF32 } from "./linear/dense";
export { prepareBf16, prepareF16, prepareF32, prepareQ4, prepareQ8 } from "./linear/prepare";
export { multiplyHeads } from "./linear/heads";
export { linearQ4, linearQ8 } from "./linear/grouped";
export { segments } from "./linear/segments";
