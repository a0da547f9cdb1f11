import { hash32, invalidArgument, refuseUnknown } from "../../core/index.ts";
import { assertSeed } from "../seeds.ts";
import { secondSeed } from "./membership.ts";
import { assertSameParameters, assertSound, readSketch, writeSketch } from "./sketch-bytes.ts";

export interface CountMinOptions {
  /** An estimate is too high by more than `epsilon` × total with a chance of at most `delta`. 0.0000001 to 1. Default 0.001. */
  readonly epsilon?: number;
  /** 0.000001 to 0.5. Default 0.01. */
  readonly delta?: number;
  /** Raises only the counters that must be raised (Estan and Varghese, 2002): better estimates for keys that are added one by one, slower. Default false. */
  readonly conservative?: boolean;
  /** Sketches are mergeable with others of the same seed. Default 0. */
  readonly seed?: number;
}

/** How often each key was added. */
export interface CountMin {
  /** @param count a whole number, at least 0. Default 1 */
  add(key: string | Uint8Array, count?: number): void;
  /** Never below the true number; above it by more than `epsilon` × `total` with a chance of at most `delta`. */
  estimate(key: string | Uint8Array): number;
  /** The sum of all that was added. */
  readonly total: number;
  /** Bytes of memory. */
  readonly byteLength: number;
  /** Afterwards it counts what both have seen. @throws InvalidArgumentError the other has different parameters */
  merge(other: CountMin): void;
  /** In a stable format with a checksum. */
  toBytes(): Uint8Array;
}

/** Counters in all, 8 bytes each. */
const mostCounters = 2 ** 27;

/**
 * A count-min sketch (Cormode and Muthukrishnan, "An Improved Data Stream Summary", 2005): ⌈e ÷ epsilon⌉ counters in each of ⌈ln(1 ÷ delta)⌉ rows.
 * @throws InvalidArgumentError an option is out of range
 */
export function createCountMin(options: CountMinOptions = {}): CountMin {
  refuseUnknown(options, ["epsilon", "delta", "conservative", "seed"]);
  const { epsilon = 0.001, delta = 0.01, conservative = false, seed = 0 } = options;
  if (!(epsilon >= 1e-7 && epsilon <= 1)) throw invalidArgument("epsilon", epsilon, "a number from 0.0000001 to 1");
  if (!(delta >= 1e-6 && delta <= 0.5)) throw invalidArgument("delta", delta, "a number from 0.000001 to 0.5");
  if (typeof conservative !== "boolean") throw invalidArgument("conservative", conservative, "true or false");
  assertSeed(seed);
  const width = Math.ceil(Math.E / epsilon);
  const depth = Math.ceil(Math.log(1 / delta));
  if (width * depth > mostCounters)
    throw invalidArgument("epsilon", epsilon, `as much as needs no more than ${mostCounters} counters`);
  return new Counters(new Float64Array(width * depth), { width, conservative, seed, total: 0 });
}

/** @throws InvalidArgumentError, CorruptionError see `readSketch` */
export function readCountMin(bytes: Uint8Array): CountMin {
  const { parameters, payload } = readSketch("count-min", bytes);
  const [width = 0, conservative = 0, seed = 0, total = 0] = parameters;
  assertSound(width >= 1 && payload.length > 0 && payload.length % (8 * width) === 0, "count-min");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const counters = Float64Array.from({ length: payload.length / 8 }, (_, i) => view.getFloat64(8 * i, true));
  assertSound(
    Number.isInteger(width) &&
      Number.isSafeInteger(total) &&
      counters.every((count) => Number.isSafeInteger(count) && count >= 0),
    "count-min",
  );
  return new Counters(counters, { width, conservative: conservative === 1, seed, total });
}

class Counters implements CountMin {
  readonly counters: Float64Array;
  readonly width: number;
  readonly conservative: boolean;
  readonly seed: number;
  #total: number;

  constructor(
    counters: Float64Array,
    options: {
      readonly width: number;
      readonly conservative: boolean;
      readonly seed: number;
      readonly total: number;
    },
  ) {
    this.counters = counters;
    this.width = options.width;
    this.conservative = options.conservative;
    this.seed = options.seed;
    this.#total = options.total;
  }

  get total(): number {
    return this.#total;
  }

  get byteLength(): number {
    return this.counters.byteLength;
  }

  add(key: string | Uint8Array, count = 1): void {
    if (!Number.isSafeInteger(count) || count < 0) throw invalidArgument("count", count, "a whole number, at least 0");
    if (this.#total + count > Number.MAX_SAFE_INTEGER)
      throw invalidArgument("count", count, "as much as keeps the total a safe integer");
    this.#total += count;
    const { counters, width } = this;
    const first = hash32(key, this.seed);
    const step = hash32(key, secondSeed(this.seed)) | 1;
    const least = this.conservative ? this.#least(first, step) + count : 0;
    for (let row = 0; row < counters.length; row += width) {
      const at = row + (((first + Math.imul(row / width, step)) >>> 0) % width);
      const before = counters[at] as number;
      counters[at] = this.conservative ? Math.max(before, least) : before + count;
    }
  }

  estimate(key: string | Uint8Array): number {
    return this.#least(hash32(key, this.seed), hash32(key, secondSeed(this.seed)) | 1);
  }

  merge(other: CountMin): void {
    assertSameParameters(this.#parameters, other instanceof Counters ? other.#parameters : {});
    const { counters, total } = other as Counters;
    for (let i = 0; i < counters.length; i++) this.counters[i] = (this.counters[i] as number) + (counters[i] as number);
    this.#total += total;
  }

  toBytes(): Uint8Array {
    const payload = new Uint8Array(this.counters.length * 8);
    const view = new DataView(payload.buffer);
    for (let i = 0; i < this.counters.length; i++) view.setFloat64(8 * i, this.counters[i] as number, true);
    return writeSketch("count-min", [this.width, this.conservative ? 1 : 0, this.seed, this.#total], payload);
  }

  get #parameters(): Readonly<Record<string, number>> {
    return {
      width: this.width,
      depth: this.counters.length / this.width,
      conservative: Number(this.conservative),
      seed: this.seed,
    };
  }

  #least(first: number, step: number): number {
    const { counters, width } = this;
    let least = Number.POSITIVE_INFINITY;
    for (let row = 0; row < counters.length; row += width)
      least = Math.min(least, counters[row + (((first + Math.imul(row / width, step)) >>> 0) % width)] as number);
    return least;
  }
}
