/** @file What support/gpu.ts sets for its whole process is there before `leave-as-found.ts` looks. */
import "./support/gpu.ts";
