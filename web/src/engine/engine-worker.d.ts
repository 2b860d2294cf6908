/** The address of the engine's worker (web/build/engine-worker.ts). */
declare module "virtual:engine-worker" {
  const url: string;
  export default url;
}
