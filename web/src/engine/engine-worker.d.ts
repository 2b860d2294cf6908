/** @file The address of the engine's worker, which web/build/engine-worker.ts makes. */
declare module "virtual:engine-worker" {
  const url: string;
  export default url;
}
