import { invalidArgument, refuseUnknown } from "../../core/index.ts";
import { assertSound, readSketch, writeSketch } from "./sketch-bytes.ts";

export interface TDigestOptions {
  /** 20 to 10,000: at most so many centroids of 16 bytes are kept, and about half of that in practice. Default 200. */
  readonly compression?: number;
}

/** Quantiles of numbers, best at the ends: for latencies. */
export interface TDigest {
  /** @param weight how often it occurred, above 0. Default 1 */
  add(value: number, weight?: number): void;
  /** How much was added, by weight. */
  readonly count: number;
  /** Exact; NaN when there is nothing. */
  readonly min: number;
  readonly max: number;
  /** The value below which this part lies, 0 to 1; NaN when there is nothing. Off by a rank of 2π √(q (1 − q)) ÷ compression of the count at most, typically a tenth of that. */
  quantile(q: number): number;
  /** The part at or below the value, 0 to 1; NaN when there is nothing. */
  cdf(value: number): number;
  /** Afterwards it has what both had. The other stays as it is. Digests of different compression can be merged. */
  merge(other: TDigest): void;
  /** In a stable format with a checksum. */
  toBytes(): Uint8Array;
}

/**
 * A merging t-digest (Dunning, Ertl, "Computing Extremely Accurate Quantiles Using t-Digests", 2019) with the scale function k₁: centroids are small at the ends and large in the middle.
 * @throws InvalidArgumentError `compression` is out of range
 */
export function createTDigest(options: TDigestOptions = {}): TDigest {
  refuseUnknown(options, ["compression"]);
  const { compression = 200 } = options;
  if (!(compression >= 20 && compression <= 10_000))
    throw invalidArgument("compression", compression, "a number from 20 to 10,000");
  return new Digest(compression);
}

/** @throws InvalidArgumentError, CorruptionError see `readSketch` */
export function readTDigest(bytes: Uint8Array): TDigest {
  const { parameters, payload } = readSketch("t-digest", bytes);
  const [compression = 0, min = 0, max = 0] = parameters;
  assertSound(compression >= 20 && compression <= 10_000 && payload.length % 16 === 0, "t-digest");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const centroids = Array.from({ length: payload.length / 16 }, (_, i) => ({
    mean: view.getFloat64(16 * i, true),
    weight: view.getFloat64(16 * i + 8, true),
  }));
  const inOrder = centroids.every(({ mean }, i) => mean >= (centroids[i - 1]?.mean ?? min) && mean <= max);
  const weighed = centroids.every(({ weight }) => weight > 0 && Number.isFinite(weight));
  assertSound(
    inOrder && weighed && (centroids.length === 0 || (Number.isFinite(min) && Number.isFinite(max))),
    "t-digest",
  );
  return new Digest(compression, { centroids, min, max });
}

interface Centroid {
  readonly mean: number;
  readonly weight: number;
}

class Digest implements TDigest {
  readonly #compression: number;
  /** In order. */
  #centroids: readonly Centroid[];
  /** Not merged yet. */
  #buffer: Centroid[] = [];
  #count: number;
  #min: number;
  #max: number;

  constructor(
    compression: number,
    content: { readonly centroids: readonly Centroid[]; readonly min: number; readonly max: number } = {
      centroids: [],
      min: Number.NaN,
      max: Number.NaN,
    },
  ) {
    this.#compression = compression;
    this.#centroids = content.centroids;
    this.#count = content.centroids.reduce((sum, { weight }) => sum + weight, 0);
    this.#min = content.min;
    this.#max = content.max;
  }

  get count(): number {
    return this.#count;
  }

  get min(): number {
    return this.#min;
  }

  get max(): number {
    return this.#max;
  }

  add(value: number, weight = 1): void {
    if (!Number.isFinite(value)) throw invalidArgument("value", value, "a finite number");
    if (!(weight > 0 && Number.isFinite(weight))) throw invalidArgument("weight", weight, "a finite number above 0");
    this.#take({ mean: value, weight });
    this.#min = this.#min <= value ? this.#min : value;
    this.#max = this.#max >= value ? this.#max : value;
  }

  quantile(q: number): number {
    if (!(q >= 0 && q <= 1)) throw invalidArgument("q", q, "a number from 0 to 1");
    const centroids = this.#compressed();
    if (centroids.length === 0) return Number.NaN;
    const rank = q * this.#count;
    // A centroid's mean stands at the middle of its weight, the extremes at the ends; between them by interpolation.
    let before = { rank: 0, value: this.#min };
    let sum = 0;
    for (const { mean, weight } of centroids) {
      const here = { rank: sum + weight / 2, value: mean };
      if (rank <= here.rank) return between(rank, before, here);
      before = here;
      sum += weight;
    }
    return between(rank, before, { rank: this.#count, value: this.#max });
  }

  cdf(value: number): number {
    if (Number.isNaN(value)) throw invalidArgument("value", value, "a number");
    const centroids = this.#compressed();
    if (centroids.length === 0) return Number.NaN;
    if (value < this.#min) return 0;
    if (value >= this.#max) return 1;
    let before = { rank: this.#min, value: 0 };
    let sum = 0;
    for (const { mean, weight } of centroids) {
      const here = { rank: mean, value: sum + weight / 2 };
      if (value < mean) return between(value, before, here) / this.#count;
      before = here;
      sum += weight;
    }
    return between(value, before, { rank: this.#max, value: this.#count }) / this.#count;
  }

  merge(other: TDigest): void {
    if (!(other instanceof Digest)) throw invalidArgument("other", other, "a t-digest");
    for (const centroid of [...other.#compressed()]) this.#take(centroid);
    if (!Number.isNaN(other.#min)) {
      this.#min = this.#min <= other.#min ? this.#min : other.#min;
      this.#max = this.#max >= other.#max ? this.#max : other.#max;
    }
  }

  toBytes(): Uint8Array {
    const centroids = this.#compressed();
    const payload = new Uint8Array(centroids.length * 16);
    const view = new DataView(payload.buffer);
    for (const [i, { mean, weight }] of centroids.entries()) {
      view.setFloat64(16 * i, mean, true);
      view.setFloat64(16 * i + 8, weight, true);
    }
    return writeSketch("t-digest", [this.#compression, this.#min, this.#max], payload);
  }

  #take(centroid: Centroid): void {
    this.#buffer.push(centroid);
    this.#count += centroid.weight;
    if (this.#buffer.length >= this.#compression * 5) this.#compressed();
  }

  /** Merges neighbours as long as they span less than one unit of the scale. */
  #compressed(): readonly Centroid[] {
    if (this.#buffer.length === 0) return this.#centroids;
    const all = [...this.#centroids, ...this.#buffer].sort((a, b) => a.mean - b.mean);
    this.#buffer = [];
    const merged: Centroid[] = [];
    let { mean, weight } = all[0] as Centroid;
    let sum = 0;
    let limit = this.#limitAfter(0);
    for (const next of all.slice(1)) {
      if (sum + weight + next.weight <= limit * this.#count) {
        weight += next.weight;
        mean = towards(mean, next.mean, next.weight / weight);
        continue;
      }
      merged.push({ mean, weight });
      sum += weight;
      limit = this.#limitAfter(sum / this.#count);
      ({ mean, weight } = next);
    }
    merged.push({ mean, weight });
    this.#centroids = merged;
    return merged;
  }

  /** The quantile that is one unit of k₁(q) = δ ÷ 2π · asin(2q − 1) beyond `q`. */
  #limitAfter(q: number): number {
    const k = (this.#compression / (2 * Math.PI)) * Math.asin(2 * q - 1) + 1;
    const angle = (k * 2 * Math.PI) / this.#compression;
    return angle >= Math.PI / 2 ? 1 : (Math.sin(angle) + 1) / 2;
  }
}

interface Point {
  readonly rank: number;
  readonly value: number;
}

function between(rank: number, from: Point, to: Point): number {
  if (to.rank <= from.rank) return to.value;
  const part = Math.min(1, Math.max(0, (rank - from.rank) / (to.rank - from.rank)));
  return towards(from.value, to.value, part);
}

/** In two halves, for the difference of two numbers can be too large for a number. */
function towards(from: number, to: number, part: number): number {
  const half = (to / 2 - from / 2) * part;
  // Rounding must not lead beyond: the means of centroids stay in order.
  return Math.min(Math.max(from + half + half, Math.min(from, to)), Math.max(from, to));
}
