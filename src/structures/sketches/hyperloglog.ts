import { hash32, invalidArgument, refuseUnknown } from "../../core/index.ts";
import { assertSeed } from "../seeds.ts";
import { secondSeed } from "./membership.ts";
import { assertSameParameters, assertSound, readSketch, writeSketch } from "./sketch-bytes.ts";

export interface HyperLogLogOptions {
  /** 4 to 18: 2^precision bytes, a standard error of 1.04 ÷ √(2^precision). Default 14: 16 KiB, 0.81 %. */
  readonly precision?: number;
  /** Sketches are mergeable with others of the same seed. Default 0. */
  readonly seed?: number;
}

/** Counts different keys. */
export interface HyperLogLog {
  add(key: string | Uint8Array): void;
  /** About how many different keys were added. */
  count(): number;
  /** Of `count`, relative. */
  readonly standardError: number;
  /** Afterwards it counts what either has seen, each key once. @throws InvalidArgumentError the other has different parameters */
  merge(other: HyperLogLog): void;
  /** In a stable format with a checksum. */
  toBytes(): Uint8Array;
}

/**
 * HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, 2007) over 64 bits of hash, with the estimator of O. Ertl ("New cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs no
 * corrections for small or large numbers.
 * @throws InvalidArgumentError an option is out of range
 */
export function createHyperLogLog(options: HyperLogLogOptions = {}): HyperLogLog {
  refuseUnknown(options, ["precision", "seed"]);
  const { precision = 14, seed = 0 } = options;
  if (!Number.isInteger(precision) || precision < 4 || precision > 18)
    throw invalidArgument("precision", precision, "a whole number from 4 to 18");
  assertSeed(seed);
  return new Registers(new Uint8Array(2 ** precision), precision, seed);
}

/** @throws InvalidArgumentError, CorruptionError see `readSketch` */
export function readHyperLogLog(bytes: Uint8Array): HyperLogLog {
  const { parameters, payload } = readSketch("hyperloglog", bytes);
  const precision = Math.log2(payload.length);
  assertSound(
    Number.isInteger(precision) && precision >= 4 && precision <= 18 && payload.every((rank) => rank <= 65 - precision),
    "hyperloglog",
  );
  return new Registers(payload, precision, parameters[0] ?? 0);
}

class Registers implements HyperLogLog {
  readonly registers: Uint8Array;
  readonly precision: number;
  readonly seed: number;

  constructor(registers: Uint8Array, precision: number, seed: number) {
    this.registers = registers;
    this.precision = precision;
    this.seed = seed;
  }

  get standardError(): number {
    return 1.04 / Math.sqrt(this.registers.length);
  }

  add(key: string | Uint8Array): void {
    const { precision, registers } = this;
    const high = hash32(key, this.seed);
    const register = high >>> (32 - precision);
    const rest = (high << precision) >>> 0;
    const rank =
      rest !== 0 ? Math.clz32(rest) + 1 : 32 - precision + Math.clz32(hash32(key, secondSeed(this.seed))) + 1;
    if (rank > (registers[register] as number)) registers[register] = rank;
  }

  count(): number {
    const m = this.registers.length;
    const q = 64 - this.precision;
    const multiplicity = new Float64Array(q + 2);
    for (const rank of this.registers) multiplicity[rank] = (multiplicity[rank] as number) + 1;
    let z = m * tau(1 - (multiplicity[q + 1] as number) / m);
    for (let k = q; k >= 1; k--) z = 0.5 * (z + (multiplicity[k] as number));
    z += m * sigma((multiplicity[0] as number) / m);
    return Math.round((m * m) / (2 * Math.LN2 * z));
  }

  merge(other: HyperLogLog): void {
    assertSameParameters(this.#parameters, other instanceof Registers ? other.#parameters : {});
    const { registers } = other as Registers;
    for (let i = 0; i < registers.length; i++)
      this.registers[i] = Math.max(this.registers[i] as number, registers[i] as number);
  }

  toBytes(): Uint8Array {
    return writeSketch("hyperloglog", [this.seed], this.registers);
  }

  get #parameters(): Readonly<Record<string, number>> {
    return { precision: this.precision, seed: this.seed };
  }
}

/** Ertl's σ: x + Σ x^(2^k) 2^(k−1). */
function sigma(given: number): number {
  if (given === 1) return Number.POSITIVE_INFINITY;
  let x = given;
  let z = given;
  for (let y = 1; ; y += y) {
    x *= x;
    const before = z;
    z += x * y;
    if (z === before) return z;
  }
}

/** Ertl's τ: (1 − x − Σ (1 − x^(2^−k))² 2^−k) ÷ 3. */
function tau(given: number): number {
  if (given === 0 || given === 1) return 0;
  let x = given;
  let z = 1 - given;
  for (let y = 0.5; ; y *= 0.5) {
    x = Math.sqrt(x);
    const before = z;
    z -= (1 - x) ** 2 * y;
    if (z === before) return z / 3;
  }
}
