/** @file The softplus of one number. */
import { expOne } from "./vector";

/** ln(1 + eˣ), with ln(1 + y) for y in (0, 1] by Newton from its series. */
export function softplus(x: f32): f32 {
  const y = expOne(-abs<f32>(x));
  let z: f32 = y / (1 + 0.5 * y);
  for (let n = 0; n < 4; n++) z -= 1 - (1 + y) * expOne(-z);
  return max<f32>(x, 0) + z;
}
