import { hash32, invalidArgument } from "../../core/index.ts";

/** 2,862,933,555,777,941,757: the multiplier of the generator, in two halves. */
const multiplierHigh = 0x27bb2ee6;
const multiplierLow = 0x87b0b0fd;

/**
 * Jump consistent hash (Lamping and Veach, 2014): the bucket of a key among `buckets` of them. When their number grows from n to n + 1, one key in
 * n + 1 moves, all into the new bucket. No table and perfectly even, but buckets come and go at the end only.
 * @param key texts and bytes are hashed; a bigint is taken as the 64 bits that the paper starts from
 * @param buckets 1 to 2,147,483,647
 */
export function jumpHash(key: string | Uint8Array | bigint, buckets: number): number {
  if (!Number.isInteger(buckets) || buckets < 1 || buckets > 0x7fffffff)
    throw invalidArgument("buckets", buckets, "a whole number from 1 to 2,147,483,647");
  let high: number;
  let low: number;
  if (typeof key === "bigint") {
    const bits = BigInt.asUintN(64, key);
    high = Number(bits >> 32n);
    low = Number(bits & 0xffffffffn);
  } else {
    low = hash32(key, 0);
    high = hash32(key, 0x9e3779b9);
  }
  let bucket = 0;
  for (let next = 0; next < buckets; ) {
    bucket = next;
    // state = state × multiplier + 1, in 64 bits.
    const product = Math.imul(low, multiplierLow) >>> 0;
    high = (highHalf(low, multiplierLow) + Math.imul(high, multiplierLow) + Math.imul(low, multiplierHigh)) >>> 0;
    low = (product + 1) >>> 0;
    if (low === 0) high = (high + 1) >>> 0;
    next = Math.floor((bucket + 1) * (2 ** 31 / ((high >>> 1) + 1)));
  }
  return bucket;
}

/** The upper 32 of the 64 bits of the product of two numbers of 32 bits. */
function highHalf(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carried = aLow * bHigh + (middle % 0x10000);
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carried / 0x10000);
}
