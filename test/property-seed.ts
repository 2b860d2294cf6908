/**
 * @file Property tests draw the same cases every time, so that a red run is about the change at hand.
 * `TQ_SEED=random npm test` (or a number) looks for new ones.
 */
import fc from "fast-check";

const seed = process.env.TQ_SEED ?? "1";
if (seed !== "random") fc.configureGlobal({ seed: Number(seed) });
