/** Keys, values and chance: the same for every contestant. */
export interface Inputs {
  /** A key's number, uniform over those loaded. */
  pick(): number;
  /** Three different keys' numbers. */
  pickThree(): [number, number, number];
  /** The first of 1000 consecutive keys' numbers. */
  pickRange(): number;
}

export const RANGE = 1000;
/** Records that one call reads while a log is read from end to end: 1 MiB of them. */
export const PAGE = 4096;

export function createInputs(keys: number): Inputs {
  const pick = () => random(keys);
  return {
    pick,
    pickThree() {
      const a = pick();
      let b = pick();
      while (b === a) b = pick();
      let c = pick();
      while (c === a || c === b) c = pick();
      return [a, b, c];
    },
    pickRange: () => random(keys - RANGE),
  };
}

/** 100 bytes, never the same twice: SQLite does not write a page whose bytes stay as they were. */
export function newValue(): Uint8Array {
  return newBytes(100);
}

/** 256 bytes, never the same twice. */
export function newRecord(): Uint8Array {
  return newBytes(256);
}

/** The numbers from 0 to `count`, in runs of at most `size`. */
export function* runs(count: number, size: number): Generator<number[]> {
  for (let first = 0; first < count; first += size) {
    yield Array.from({ length: Math.min(size, count - first) }, (_, i) => first + i);
  }
}

let written = 0;

function newBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(0x61);
  written++;
  bytes[0] = written;
  bytes[1] = written >>> 8;
  bytes[2] = written >>> 16;
  bytes[3] = written >>> 24;
  return bytes;
}

let state = 0x9e3779b9;

/** Xorshift32 (Marsaglia 2003): cheap enough not to show in a loop of a million reads a second. */
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return Math.floor(((state >>> 0) / 0x1_0000_0000) * below);
}
