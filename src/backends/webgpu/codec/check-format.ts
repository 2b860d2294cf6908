/** @file Which KV formats have kernels here: all that are stored token by token as codes, blocks or floats. */
import { TurboQuantError } from "../../../errors.ts";
import type { LayerKvFormat, SideFormat } from "../../../quant/kv-format.ts";
import { kindOf } from "../../../quant/side-kind.ts";

/** @throws TurboQuantError unsupported — kivi types, QJL and stopped codebooks, with what to choose instead */
export function checkFormat({ k, v }: Pick<LayerKvFormat, "k" | "v">): void {
  checkSide(k);
  checkSide(v);
}

function checkSide(side: SideFormat): void {
  const isResearch = side.qjl || side.codebookIterations !== undefined;
  if (!isResearch && kindOf(side.type) !== "channel") return;
  const what = side.qjl ? `${side.type}+qjl` : isResearch ? `${side.type},codebook=…` : side.type;
  throw new TurboQuantError(
    "unsupported",
    `--kv ${what}: the webgpu backend has no kernel for it; choose tqN without qjl and codebook, q8_0, q4_0r, f16 or f32, or --backend wasm`,
  );
}
