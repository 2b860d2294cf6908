/** @file Kinds of fields that several requests have. `null` means absent. What a schema does not say of itself stands in its `meta` (openapi.ts). */
import { z } from "zod";

export const whole = (min: number, max: number) =>
  z
    .number({ error: `expected a whole number from ${min} to ${max}` })
    .int(`expected a whole number from ${min} to ${max}`)
    .min(min, `expected a whole number from ${min} to ${max}`)
    .max(max, `expected a whole number from ${min} to ${max}`)
    .nullish();
export const real = (min: number, max: number) =>
  z
    .number({ error: `expected a number from ${min} to ${max}` })
    .min(min, `expected a number from ${min} to ${max}`)
    .max(max, `expected a number from ${min} to ${max}`)
    .nullish();
export const flag = z.boolean({ error: "expected true or false" }).nullish();
/** Any whole number, also one that is not exact in a double. */
export const seed = z
  .number({ error: "expected a whole number" })
  .refine((value) => Number.isInteger(value), "expected a whole number")
  .meta({ type: "integer" })
  .nullish();
export const text = z.string({ error: "expected a text" });
/** Fields without meaning here, which many clients send. */
export const ignored = z.unknown().optional().meta({ description: "accepted, and does nothing" });
/** A field that is accepted only with the value that describes what happens anyway. */
export const acceptOnly = (isDefault: (value: unknown) => boolean, message: string) =>
  z
    .unknown()
    .refine((value) => value === undefined || value === null || isDefault(value), message)
    .optional()
    .meta({ description: message });
