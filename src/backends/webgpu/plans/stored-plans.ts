/**
 * @file The plans that the tuner has found for an adapter, as a text that is kept between processes. It holds for the device, driver and kernels that
 * it was made with; another one is left aside, and said.
 */
import { kernelPlanShelf } from "../../../platform.ts";
import type { GpuContext } from "../device/context.ts";
import { KERNELS_HASH } from "../generated/shaders.ts";
import { DECODE_SETTINGS } from "./attention-choice.ts";
import type { Plan, Winner } from "./kernel-plans.ts";
import { PRODUCT_PLANS } from "./product-choice.ts";

const FORMAT = "turboquant kernel plans";

interface StoredPlans {
  readonly format: typeof FORMAT;
  readonly device: string;
  readonly driver: string;
  readonly features: string;
  readonly kernels: string;
  readonly winners: readonly Winner[];
  /** Shapes whose search found nothing better than the rule's plan. */
  readonly byRule: readonly string[];
}

/** What a search has found. */
export type FoundPlans = Pick<StoredPlans, "winners" | "byRule">;

/** The name under which plans of this adapter are kept; null where it has no identity. */
export function planFile({ adapter }: GpuContext): string | null {
  if (!adapter) return null;
  const slug = adapter.device.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return `kernels-${slug.replace(/^-|-$/g, "") || "unnamed"}.json`;
}

const featuresText = ({ features }: GpuContext): string =>
  Object.entries(features)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

const identity = (context: GpuContext) => ({
  device: context.adapter?.device ?? "",
  driver: context.adapter?.driver ?? "",
  features: featuresText(context),
  kernels: KERNELS_HASH,
});

export function formatPlans(context: GpuContext, { winners, byRule }: FoundPlans): string {
  const stored: StoredPlans = { format: FORMAT, ...identity(context), winners, byRule };
  return `${JSON.stringify(stored, null, 1)}\n`;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a value is a plan of the kernel that the key names. */
function isPlan(key: string, plan: unknown): plan is Plan {
  if (!isRecord(plan)) return false;
  const same = (other: object): boolean => JSON.stringify(other) === JSON.stringify(plan);
  if (key.startsWith("product ")) return PRODUCT_PLANS.some(same);
  if (key.startsWith("attention of tokens ")) {
    return Object.entries(plan).every(([name, value]) =>
      (DECODE_SETTINGS[name as keyof typeof DECODE_SETTINGS] as readonly unknown[] | undefined)?.includes(value),
    );
  }
  const { rows, splits, ...more } = plan;
  const isTile = rows === 32 || rows === 64 || rows === 256;
  return (
    key.startsWith("attention of spans ") &&
    isTile &&
    Number.isInteger(splits) &&
    (splits as number) >= 1 &&
    (splits as number) <= 16 &&
    Object.keys(more).length === 0
  );
}

function isWinner(value: unknown): value is Winner {
  return (
    isRecord(value) &&
    typeof value["key"] === "string" &&
    isPlan(value["key"], value["plan"]) &&
    ["us", "ruleUs", "spread"].every((name) => Number.isFinite(value[name]))
  );
}

/** Winners of a text, or in one sentence why there are none. */
export function parsePlans(context: GpuContext, text: string): FoundPlans | { why: string } {
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch {
    return { why: "it is damaged" };
  }
  if (!isRecord(stored) || stored["format"] !== FORMAT || !Array.isArray(stored["winners"])) {
    return { why: "it is damaged" };
  }
  const own = identity(context);
  for (const name of ["device", "driver"] as const) {
    if (stored[name] !== own[name]) return { why: `it is of the ${name} "${stored[name]}", this is "${own[name]}"` };
  }
  if (stored["features"] !== own.features) return { why: "the device has other features now" };
  if (stored["kernels"] !== own.kernels) return { why: "kernels have changed since" };
  const { winners, byRule } = stored;
  const isWhole = Array.isArray(byRule) && byRule.every((key) => typeof key === "string") && winners.every(isWinner);
  return isWhole ? { winners, byRule } : { why: "it is damaged" };
}

const NOTHING: FoundPlans = { winners: [], byRule: [] };

/** The plans that are kept for this adapter, and a note where those that are kept do not hold. */
export async function storedPlans(context: GpuContext): Promise<{ found: FoundPlans; note: string | null }> {
  const name = planFile(context);
  const found = name === null ? null : await kernelPlanShelf()?.find(name);
  if (!found) return { found: NOTHING, note: null };
  const parsed = parsePlans(context, found.text);
  if ("winners" in parsed) return { found: parsed, note: null };
  const note = `webgpu: tuned kernels of ${found.place} are not used: ${parsed.why}; run turboquant tune again, or turboquant tune --forget`;
  return { found: NOTHING, note };
}
