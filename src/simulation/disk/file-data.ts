import { type DiskChance, type DiskFaultCounts, type DiskFaults, hits } from "./disk-faults.ts";

/** Where sectors come from. */
export interface Space {
  readonly sectorSize: number;
  /** A sector of zeros that everybody shares and nobody changes. */
  readonly zeros: Uint8Array;
  /** Takes one sector, unless the disk is full. */
  take(): boolean;
  give(sectors: number): void;
}

/** What a sync found to write when it began. */
export interface DataSnapshot {
  /** Sector number → content (none: zeros) and when it was written. */
  readonly sectors: ReadonlyMap<number, { readonly bytes: Uint8Array | undefined; readonly moment: number }>;
  readonly size: number;
  /** When the size was changed; undefined: it was durable. */
  readonly sizeMoment: number | undefined;
}

/**
 * The content of one file, twice: in the page cache, as readers see it, and on the medium. Sectors that no map holds are
 * zeros. Moments are the disk's count of changes; they put the syncs that overlap in order.
 * Invariant: bytes of a sector beyond `size` are zero, so that a file can grow without looking at them.
 */
export class FileData {
  readonly #space: Space;
  readonly #cache = new Map<number, Uint8Array>();
  /** Sectors of the cache whose bytes nobody shares; others are copied before they are changed. */
  readonly #own = new Set<number>();
  /** Sectors to be written back → when they were last changed. */
  readonly #dirty = new Map<number, number>();
  readonly #durable = new Map<number, { readonly bytes: Uint8Array; readonly moment: number }>();
  #size = 0;
  #sizeMoment: number | undefined;
  #durableSize = 0;
  #durableSizeMoment = 0;

  constructor(space: Space) {
    this.#space = space;
  }

  /** Bytes, as readers see it. */
  get size(): number {
    return this.#size;
  }

  get durableSize(): number {
    return this.#durableSize;
  }

  /** Sectors that the content takes. */
  get sectors(): number {
    return this.#cache.size;
  }

  /** Whether all of it is on the medium or was given up. */
  get isClean(): boolean {
    return this.#dirty.size === 0 && this.#sizeMoment === undefined;
  }

  /** Fills `target` from `position` and returns how many bytes there were. */
  read(target: Uint8Array, position: number): number {
    return readSectors((sector) => this.#cache.get(sector), this.#size, this.#space.sectorSize, target, position);
  }

  /** What the medium holds. */
  durableContent(): Uint8Array {
    const target = new Uint8Array(this.#durableSize);
    readSectors((sector) => this.#durable.get(sector)?.bytes, this.#durableSize, this.#space.sectorSize, target, 0);
    return target;
  }

  /** Writes as many bytes as there is space for and returns how many. */
  write(source: Uint8Array, position: number, moment: number): number {
    const { sectorSize } = this.#space;
    let done = 0;
    while (done < source.length) {
      const at = position + done;
      const sector = Math.floor(at / sectorSize);
      const offset = at - sector * sectorSize;
      const length = Math.min(sectorSize - offset, source.length - done);
      const bytes = this.#writable(sector);
      if (!bytes) break;
      bytes.set(length === source.length ? source : source.subarray(done, done + length), offset);
      this.#dirty.set(sector, moment);
      done += length;
    }
    const end = position + done;
    // Also when a failed sync gave up a size: bytes beyond the durable end need a new one.
    if (done > 0 && (end > this.#size || end > this.#durableSize)) this.#sizeMoment = moment;
    if (done > 0 && end > this.#size) this.#size = end;
    return done;
  }

  #writable(sector: number): Uint8Array | undefined {
    const present = this.#cache.get(sector);
    if (present && this.#own.has(sector)) return present;
    if (!present && !this.#space.take()) return undefined;
    const bytes = present ? present.slice() : new Uint8Array(this.#space.sectorSize);
    this.#cache.set(sector, bytes);
    this.#own.add(sector);
    return bytes;
  }

  /** Cuts the content, or lengthens it with zeros that take no space. */
  truncate(size: number, moment: number): void {
    // The medium may hold more than the cache: what a failed sync was to cut off.
    if (size < this.#size || size < this.#durableSize) this.#cut(size, moment);
    if (size === this.#size && this.#sizeMoment === undefined && size === this.#durableSize) return;
    this.#size = size;
    this.#sizeMoment = moment;
  }

  #cut(size: number, moment: number): void {
    const { sectorSize } = this.#space;
    const offset = size % sectorSize;
    const boundary = Math.floor(size / sectorSize);
    if (offset > 0 && this.#cache.has(boundary)) {
      this.#writable(boundary)?.fill(0, offset);
      this.#dirty.set(boundary, moment);
    }
    const first = offset > 0 ? boundary + 1 : boundary;
    // What a later sync must zero on the medium, or growing again would bring old bytes back.
    for (const sector of this.#durable.keys()) if (sector >= first) this.#dirty.set(sector, moment);
    for (const sector of this.#cache.keys()) {
      if (sector < first) continue;
      this.#dirty.set(sector, moment);
      this.#cache.delete(sector);
      this.#own.delete(sector);
      this.#space.give(1);
    }
  }

  /** What a sync that begins now must make durable. */
  snapshot(): DataSnapshot {
    const sectors = new Map<number, { bytes: Uint8Array | undefined; moment: number }>();
    for (const [sector, moment] of this.#dirty) {
      sectors.set(sector, { bytes: this.#cache.get(sector), moment });
      this.#own.delete(sector);
    }
    return { sectors, size: this.#size, sizeMoment: this.#sizeMoment };
  }

  /** The sync has ended well: the snapshot is durable, unless something younger is. */
  persist(snapshot: DataSnapshot): void {
    for (const [sector, { bytes, moment }] of snapshot.sectors) {
      const present = this.#durable.get(sector);
      if (!present || present.moment < moment) this.#durable.set(sector, { bytes: bytes ?? this.#space.zeros, moment });
    }
    if (snapshot.sizeMoment !== undefined && snapshot.sizeMoment > this.#durableSizeMoment) {
      this.#durableSize = snapshot.size;
      this.#durableSizeMoment = snapshot.sizeMoment;
    }
    this.giveUp(snapshot);
  }

  /** The sync has failed: its pages count as clean, and nothing will write them unless they are changed again. */
  giveUp(snapshot: DataSnapshot): void {
    for (const [sector, { moment }] of snapshot.sectors) {
      if (this.#dirty.get(sector) === moment) this.#dirty.delete(sector);
    }
    if (this.#sizeMoment === snapshot.sizeMoment) this.#sizeMoment = undefined;
  }

  /** The power goes: each dirty sector, and the size, gets its fate; cache and medium are one afterwards. */
  losePower(chance: DiskChance, faults: DiskFaults, counts: DiskFaultCounts): void {
    const { sectorSize } = this.#space;
    const size = this.#fateOfSize(chance, faults);
    const content = new Map<number, Uint8Array>();
    for (const [sector, { bytes }] of this.#durable) content.set(sector, bytes);
    for (const sector of [...this.#dirty.keys()].sort((a, b) => a - b)) {
      const start = sector * sectorSize;
      // Beyond the new end, or cut off by a truncation that is undone.
      if (start >= size || start >= this.#size) continue;
      const fresh = this.#cache.get(sector) ?? this.#space.zeros;
      if (hits(chance, "disk torn sector", faults.tear)) {
        content.set(sector, tornSector(content.get(sector) ?? this.#space.zeros, fresh, chance));
        counts.tornSectors++;
      } else if (hits(chance, "disk kept sector", faults.keepUnsynced)) content.set(sector, fresh);
      else counts.lostSectors++;
    }
    this.#restart(content, size);
  }

  #fateOfSize(chance: DiskChance, faults: DiskFaults): number {
    if (this.#sizeMoment === undefined || this.#size === this.#durableSize) return this.#durableSize;
    if (hits(chance, "disk kept size", faults.keepUnsynced)) return this.#size;
    if (this.#size < this.#durableSize) return this.#durableSize;
    const { sectorSize } = this.#space;
    const first = Math.floor(this.#durableSize / sectorSize);
    const grown = chance.below("disk size", Math.ceil(this.#size / sectorSize) - first + 1);
    return grown === 0 ? this.#durableSize : Math.min(this.#size, (first + grown) * sectorSize);
  }

  #restart(content: Map<number, Uint8Array>, size: number): void {
    const { sectorSize } = this.#space;
    this.#cache.clear();
    this.#own.clear();
    this.#dirty.clear();
    this.#durable.clear();
    for (const [sector, bytes] of content) {
      const inside = size - sector * sectorSize;
      if (inside <= 0) continue;
      const kept = inside < sectorSize ? bytes.slice().fill(0, inside) : bytes;
      this.#cache.set(sector, kept);
      this.#durable.set(sector, { bytes: kept, moment: 0 });
    }
    this.#size = size;
    this.#durableSize = size;
    this.#sizeMoment = undefined;
    this.#durableSizeMoment = 0;
  }

  /** Flips a bit of a sector that is on the medium and clean; says whether there was one. */
  corrupt(sector: number, chance: DiskChance): boolean {
    const present = this.#durable.get(sector);
    // What readers see is the medium's only as long as the two share their bytes.
    if (!present || this.#cache.get(sector) !== present.bytes) return false;
    const inside = Math.min(this.#space.sectorSize, this.#size - sector * this.#space.sectorSize);
    if (inside <= 0) return false;
    const bytes = present.bytes.slice();
    const bit = chance.below("disk corrupt bit", inside * 8);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    this.#cache.set(sector, bytes);
    this.#own.delete(sector);
    this.#durable.set(sector, { bytes, moment: present.moment });
    return true;
  }
}

/** One part new, the other old. */
function tornSector(old: Uint8Array, fresh: Uint8Array, chance: DiskChance): Uint8Array {
  const at = 1 + chance.below("disk tear at", fresh.length - 1);
  const [first, second] = chance.below("disk tear side", 2) === 0 ? [fresh, old] : [old, fresh];
  const torn = first.slice();
  torn.set(second.subarray(at), at);
  return torn;
}

function readSectors(
  sectorAt: (sector: number) => Uint8Array | undefined,
  size: number,
  sectorSize: number,
  target: Uint8Array,
  position: number,
): number {
  const length = Math.max(0, Math.min(target.length, size - position));
  for (let done = 0; done < length; ) {
    const at = position + done;
    const sector = Math.floor(at / sectorSize);
    const offset = at - sector * sectorSize;
    const part = Math.min(sectorSize - offset, length - done);
    const bytes = sectorAt(sector);
    if (bytes) target.set(part === sectorSize ? bytes : bytes.subarray(offset, offset + part), done);
    else target.fill(0, done, done + part);
    done += part;
  }
  return length;
}
