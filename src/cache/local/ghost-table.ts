/** Places that a hash may have: neighbours, in one line of memory or two. */
const probes = 8;
const fewestPlaces = 512;
/** As an age it is beyond any bound that is asked about. */
const longAgo = 2 ** 31;

/**
 * The hashes of the keys that were evicted last, with when that was, counted in evictions. What has grown too old is not taken out but overwritten when its place is needed, as in
 * section 4.2 of the S3-FIFO paper. At most half of the places hold what is young enough; should all neighbours be young, the oldest is forgotten early.
 */
export class GhostTable {
  /** Pairs of a hash and the count of evictions when it was evicted. */
  #pairs = new Int32Array(2 * fewestPlaces);
  /** Of the even indices. */
  #mask = this.#pairs.length - 2;
  /** Evictions so far, modulo 2³². Where it begins, a stamp of 0 is long ago. */
  #now = longAgo | 0;

  /** Makes room for that many hashes. */
  grow(entries: number): void {
    const old = this.#pairs;
    const places = 2 ** Math.ceil(Math.log2(Math.max(fewestPlaces, entries * 2)));
    this.#pairs = new Int32Array(2 * places);
    this.#mask = this.#pairs.length - 2;
    for (let at = 0; at < old.length; at += 2) {
      if (old[at + 1] !== 0) this.#put(old[at] as number, old[at + 1] as number, longAgo);
    }
  }

  /** @param count how many of the last ones anyone will ask for */
  add(hash: number, count: number): void {
    this.#now = (this.#now + 1) | 0;
    this.#put(hash | 0, this.#now, count);
  }

  /** Whether the hash is one of the last `count` that were added, and not yet taken. */
  take(hash: number, count: number): boolean {
    const pairs = this.#pairs;
    const wanted = hash | 0;
    let at = (wanted << 1) & this.#mask;
    let found = false;
    for (let i = 0; i < probes; i++) {
      if (pairs[at] === wanted && this.#age(at) < count) {
        pairs[at + 1] = this.#now - longAgo;
        found = true;
      }
      at = (at + 2) & this.#mask;
    }
    return found;
  }

  clear(): void {
    this.#pairs.fill(0);
    this.#now = longAgo | 0;
  }

  #put(hash: number, stamp: number, count: number): void {
    const pairs = this.#pairs;
    const mask = this.#mask;
    const now = this.#now;
    let at = (hash << 1) & mask;
    let place = at;
    let oldest = -1;
    for (let i = 0; i < probes && oldest < count; i++) {
      const age = (now - (pairs[at + 1] as number)) >>> 0;
      if (age > oldest) {
        oldest = age;
        place = at;
      }
      at = (at + 2) & mask;
    }
    pairs[place] = hash;
    pairs[place + 1] = stamp;
  }

  #age(at: number): number {
    return (this.#now - (this.#pairs[at + 1] as number)) >>> 0;
  }
}
