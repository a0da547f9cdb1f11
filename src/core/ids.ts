import type { Runtime } from "./runtime.ts";

/** A source of ids. */
export interface Ids {
  /** 26 characters, greater than every id that this source gave before. */
  next(): string;
}

/** Crockford's base 32: digits and capitals without I, L, O, U; its order is the order of its characters. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const HALF = 2 ** 40;

/**
 * Ids that sort by the time of their making: 48 bits of milliseconds, then 80 random bits, as the ULID specification
 * (github.com/ulid/spec) has it. Within one millisecond, and while the wall clock lags behind what it showed before, the random part
 * counts up instead, so the ids of one source always ascend. Not secrets: an id may let its neighbours be guessed.
 */
export function createIds(runtime: Pick<Runtime, "clock" | "random">): Ids {
  let time = -1;
  // The 80 random bits as two numbers of 40, because a number holds 53 exactly.
  let high = 0;
  let low = 0;
  /** What ids of one millisecond begin with, mostly. */
  let beginning = "";

  function draw(): void {
    const bytes = Buffer.from(runtime.random.bytes(10));
    high = bytes.readUIntBE(0, 5);
    low = bytes.readUIntBE(5, 5);
    beginning = base32(time, 10) + base32(high, 8);
  }

  function countUp(): void {
    if (++low < HALF) return;
    low = 0;
    if (++high < HALF) {
      beginning = base32(time, 10) + base32(high, 8);
      return;
    }
    // All random bits of this millisecond are used up: borrow the next one.
    time += 1;
    draw();
  }

  return {
    next() {
      const now = Math.floor(runtime.clock.now());
      if (now > time) {
        time = now;
        draw();
      } else {
        countUp();
      }
      return beginning + base32(low, 8);
    },
  };
}

/** All of two characters, by value. */
const pairs = Array.from({ length: 1024 }, (_, i) => alphabet.charAt(i >> 5) + alphabet.charAt(i & 31));

/** @param length even */
function base32(value: number, length: number): string {
  let text = "";
  let rest = value;
  for (let i = 0; i < length; i += 2) {
    text = (pairs[rest % 1024] as string) + text;
    rest = Math.floor(rest / 1024);
  }
  return text;
}
