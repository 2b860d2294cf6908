// Numbers in the order of scores: equal scores are equal numbers, and what is no number is less than all others. Bits are looked at, because
// compilers may assume that everything is a number.
const LEAST = 0x007fffffu;
const MOST = 0xff800000u;
fn ordered(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return LEAST;
  }
  if (magnitude == 0u) {
    return 0x80000000u;
  }
  return select(bits | 0x80000000u, ~bits, bits != magnitude);
}
