/**
 * @file The strict module from the relaxed one. They differ in two instructions (`madd` and `lookup` of assembly/simd/vector.ts), and to compile the
 * kernels a second time would take as long as the first.
 *
 * A relaxed multiply-add becomes a product and a sum. The summand lies on top of both factors, so it waits in a local of its own, of which
 * nothing is left in machine code.
 */
import { leb, lebBytes, SECTION, sections } from "./wasm-binary.ts";

const RELAXED_SWIZZLE = 0x100;
const RELAXED_MADD = 0x105;
const LAST_STRICT = 0xff;
const SIMD = 0xfd;
const V128 = 0x7b;
const SWIZZLE = [SIMD, 0x0e];
const [LOCAL_GET, LOCAL_SET] = [0x20, 0x21];
const [F32X4_ADD, F32X4_MUL] = [
  [SIMD, 0xe4, 0x01],
  [SIMD, 0xe6, 0x01],
];

/** What follows the opcode: LEB128 numbers, then bytes. */
type Immediates = readonly [lebs: number, bytes: number];
const NONE: Immediates = [0, 0];

/** @throws Error — an opcode that kernels do not use */
function immediatesOf(opcode: number): Immediates {
  if (opcode <= 0x01 || opcode === 0x05 || opcode === 0x0b || opcode === 0x0f) return NONE;
  // Blocks with their types, branches, calls.
  if (opcode <= 0x04 || opcode === 0x0c || opcode === 0x0d || opcode === 0x10) return [1, 0];
  if (opcode === 0x1a || opcode === 0x1b) return NONE;
  // Variables; loads and stores; the size of memory; constants.
  if (opcode >= 0x20 && opcode <= 0x24) return [1, 0];
  if (opcode >= 0x28 && opcode <= 0x3e) return [2, 0];
  if (opcode >= 0x3f && opcode <= 0x42) return [1, 0];
  if (opcode === 0x43) return [0, 4];
  if (opcode === 0x44) return [0, 8];
  if (opcode >= 0x45 && opcode <= 0xc4) return NONE;
  throw new Error(`strict-simd: opcode 0x${opcode.toString(16)} is not known; say in immediatesOf what follows it`);
}

/** Of an opcode behind the prefix of SIMD. */
function simdImmediates(opcode: number): Immediates {
  if (opcode <= 11 || opcode === 92 || opcode === 93) return [2, 0];
  if (opcode === 12 || opcode === 13) return [0, 16];
  if (opcode >= 21 && opcode <= 34) return [0, 1];
  if (opcode >= 84 && opcode <= 91) return [2, 1];
  return NONE;
}

/** Of an opcode behind the prefix of conversions that saturate and of bulk memory. */
function miscImmediates(opcode: number): Immediates {
  if (opcode <= 7) return NONE;
  if (opcode === 10) return [2, 0];
  if (opcode === 11) return [1, 0];
  throw new Error(`strict-simd: opcode 0xfc ${opcode} is not known; say in miscImmediates what follows it`);
}

/** Number of parameters of each function that has code, in order. */
function parameterCounts(binary: Uint8Array): number[] {
  const [TYPES, FUNCTIONS] = [1, 3];
  const counts: number[] = [];
  const types: number[] = [];
  for (const { id, count, body } of sections(binary)) {
    let at = body;
    for (let i = 0; i < count; i++) {
      if (id === TYPES) {
        const [parameters, behind] = leb(binary, at + 1);
        const [results, first] = leb(binary, behind + parameters);
        types.push(parameters);
        at = first + results;
      } else if (id === FUNCTIONS) {
        const [type, next] = leb(binary, at);
        counts.push(types[type]!);
        at = next;
      }
    }
  }
  return counts;
}

/** A function's body without its size, with strict instructions. */
function strictBody(binary: Uint8Array, start: number, end: number, numParameters: number): Uint8Array {
  const [numGroups, firstGroup] = leb(binary, start);
  let at = firstGroup;
  let summand = numParameters;
  for (let i = 0; i < numGroups; i++) {
    const [count, type] = leb(binary, at);
    summand += count;
    at = type + 1;
  }
  const locals = binary.subarray(firstGroup, at);
  const out: number[] = [];
  let copied = at;
  let usesSummand = false;
  const replace = (from: number, to: number, bytes: readonly number[]): void => {
    for (const byte of binary.subarray(copied, from)) out.push(byte);
    out.push(...bytes);
    copied = to;
  };
  while (at < end) {
    const from = at;
    let opcode: number = binary[at++]!;
    let immediates: Immediates;
    if (opcode === SIMD) {
      [opcode, at] = leb(binary, at);
      immediates = simdImmediates(opcode);
      if (opcode === RELAXED_SWIZZLE) replace(from, at, SWIZZLE);
      else if (opcode === RELAXED_MADD) {
        const local = lebBytes(summand);
        replace(from, at, [LOCAL_SET, ...local, ...F32X4_MUL, LOCAL_GET, ...local, ...F32X4_ADD]);
        usesSummand = true;
      } else if (opcode > LAST_STRICT) {
        throw new Error(`strict-simd: no strict instructions for opcode 0xfd ${opcode}; say here which they are`);
      }
    } else if (opcode === 0xfc) {
      [opcode, at] = leb(binary, at);
      immediates = miscImmediates(opcode);
    } else if (opcode === 0x0e) {
      // A table of branches: as many as it says, and one more.
      const [count, first] = leb(binary, at);
      at = first;
      immediates = [count + 1, 0];
    } else {
      immediates = immediatesOf(opcode);
    }
    for (let i = 0; i < immediates[0]; i++) [, at] = leb(binary, at);
    at += immediates[1];
  }
  if (at !== end) throw new Error("strict-simd: an instruction ends behind its body; its immediates are wrong here");
  replace(end, end, []);
  const own = usesSummand ? [1, V128] : [];
  return Uint8Array.from([...lebBytes(numGroups + (usesSummand ? 1 : 0)), ...locals, ...own, ...out]);
}

/**
 * relaxed: a module with relaxed SIMD
 * @throws Error — it has an instruction that is not known here
 */
export function strictModule(relaxed: Uint8Array): Uint8Array {
  const code = [...sections(relaxed)].find(({ id }) => id === SECTION.code)!;
  const parameters = parameterCounts(relaxed);
  const bodies: Uint8Array[] = [];
  let at = code.body;
  for (let i = 0; i < code.count; i++) {
    const [size, start] = leb(relaxed, at);
    at = start + size;
    const body = strictBody(relaxed, start, at, parameters[i]!);
    bodies.push(Uint8Array.from(lebBytes(body.length)), body);
  }
  const content = Buffer.concat([Uint8Array.from(lebBytes(code.count)), ...bodies]);
  const head = Uint8Array.from([SECTION.code, ...lebBytes(content.length)]);
  const { start, end } = code;
  return Uint8Array.from(Buffer.concat([relaxed.subarray(0, start), head, content, relaxed.subarray(end)]));
}
