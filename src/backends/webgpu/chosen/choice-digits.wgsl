// What the kernels of a choice have in common. Candidates are tokens or blocks of them, and have numbers in the order of their scores. The number
// that so many candidates reach from the largest on is found digit by digit: those of the candidates that have the digits before it are counted.
const DIGITS = 3u;
const BINS = 2048u;
// Candidates of a workgroup.
const TILE = 8u * THREADS;

var<workgroup> sums: array<u32, THREADS>;
var<workgroup> found: vec2u;

// Returns the sum of `own` over the invocations before this one.
fn sum_before(own: u32, l: u32) -> u32 {
  sums[l] = own;
  workgroupBarrier();
  for (var apart = 1u; apart < THREADS; apart <<= 1u) {
    let other = select(0u, sums[max(l, apart) - apart], l >= apart);
    workgroupBarrier();
    sums[l] += other;
    workgroupBarrier();
  }
  let sum = sums[l] - own;
  workgroupBarrier();
  return sum;
}

// Returns the digit at which the candidates that are counted from word `at` on reach `left`, and how many of `left` have this digit.
fn reached(at: u32, left: u32, l: u32) -> vec2u {
  // The largest digits come first.
  let first = BINS - 1u - l * (BINS / THREADS);
  var own = 0u;
  for (var i = 0u; i < BINS / THREADS; i++) {
    own += tally(at + first - i);
  }
  var seen = sum_before(own, l);
  if (seen < left && left <= seen + own) {
    for (var i = 0u; i < BINS / THREADS; i++) {
      let here = tally(at + first - i);
      if (left <= seen + here) {
        found = vec2u(first - i, left - seen);
        break;
      }
      seen += here;
    }
  }
  return workgroupUniformLoad(&found);
}

// Digits have 11, 11 and 10 bits. Returns the bits behind the first `count` of them.
fn bits_behind(count: u32) -> u32 {
  return select(select(21u, 10u, count == 2u), 0u, count == DIGITS);
}

// Returns the first `count` digits of the number that is looked for, and how many candidates with these digits are to be taken.
fn digits_of(list: u32, count: u32, l: u32) -> vec2u {
  var digits = vec2u(0u, p.count);
  for (var d = 0u; d < count; d++) {
    let next = reached((list * DIGITS + d) * BINS, digits.y, l);
    digits = vec2u((digits.x << select(11u, 10u, d == 2u)) | next.x, next.y);
  }
  return digits;
}
