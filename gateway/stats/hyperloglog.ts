/**
 * How many different values a stream has, in 4 KiB.
 *
 * Idea: HyperLogLog (Flajolet et al. 2007) with Ertl's estimator (2017), which needs no tables of bias and is right for few values too.
 * Layout: 2¹² bytes, each the largest rank (leading zeros + 1 of 32 hash bits) of the values of its register; another 32 bits choose the register.
 * The hash is fixed, so that sketches of other processes merge: the larger byte.
 * Error: standard deviation 1.04 / √4096 = 1.62 %. 64 bits of hash: two million million values before collisions count.
 */

const REGISTERS = 4096
const RANKS = 32

const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)

export class HyperLogLog {
  readonly registers: Uint8Array

  /** @param registers 4096 bytes; new if left out */
  constructor(registers: Uint8Array = new Uint8Array(REGISTERS)) {
    this.registers = registers
  }

  /** −0 is 0, every NaN is one value. */
  addNumber(x: number): void {
    double[0] = x + 0
    this.#add(mix(words[0]!, words[1]!), mix(words[1]! ^ 0x9e3779b9, words[0]!))
  }

  addText(text: string): void {
    let a = 0xdeadbeef ^ text.length
    let b = 0x41c6ce57 ^ text.length
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      a = Math.imul(a ^ code, 0x9e3779b1)
      b = Math.imul(b ^ code, 0x5f356495)
      a ^= a >>> 15
      b ^= b >>> 13
    }
    this.#add(mix(a, b), mix(b, a ^ 0x9e3779b9))
  }

  #add(place: number, bits: number): void {
    const register = place & (REGISTERS - 1)
    const rank = Math.clz32(bits) + 1
    if (rank > this.registers[register]!) this.registers[register] = rank
  }

  merge(other: HyperLogLog): void {
    for (let i = 0; i < REGISTERS; i++) if (other.registers[i]! > this.registers[i]!) this.registers[i] = other.registers[i]!
  }

  estimate(): number {
    const counts = new Uint32Array(RANKS + 2)
    for (let i = 0; i < REGISTERS; i++) counts[this.registers[i]!]!++
    let z = REGISTERS * tau(1 - counts[RANKS + 1]! / REGISTERS)
    for (let rank = RANKS; rank >= 1; rank--) z = (z + counts[rank]!) / 2
    z += REGISTERS * sigma(counts[0]! / REGISTERS)
    return REGISTERS ** 2 / (2 * Math.LN2 * z)
  }
}

/** Murmur3's finaliser over two words. */
function mix(a: number, b: number): number {
  let h = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 15), 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** x + Σ x^(2^k) 2^(k−1): Ertl's correction for empty registers. */
function sigma(x: number): number {
  if (x === 1) return Infinity
  let power = x
  let weight = 1
  let sum = x
  for (let before = NaN; sum !== before; weight *= 2) {
    before = sum
    power *= power
    sum += power * weight
  }
  return sum
}

/** (1 − x − Σ (1 − x^(2^−k))² 2^−k) / 3: Ertl's correction for full ones. */
function tau(x: number): number {
  if (x === 0 || x === 1) return 0
  let root = x
  let weight = 1
  let sum = 1 - x
  for (let before = NaN; sum !== before; ) {
    before = sum
    root = Math.sqrt(root)
    weight /= 2
    sum -= (1 - root) ** 2 * weight
  }
  return sum / 3
}
