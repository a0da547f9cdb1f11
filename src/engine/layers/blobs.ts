import {
  ConflictError,
  createIds,
  encodeKey,
  encodeRange,
  encodeValue,
  type Ids,
  InvalidArgumentError,
  invalidArgument,
  isAshlarError,
  type Key,
  type KeyRange,
  keyName,
  limitExceeded,
  raceAbort,
  sleep,
  throwIfAborted,
} from "../../core/index.ts";
import type {
  BlobGetOptions,
  BlobInfo,
  BlobPutOptions,
  Blobs,
  Entry,
  Mutation,
  StoredBlob,
  Version,
} from "../contract.ts";
import { toLimit } from "../encode-batch.ts";
import { BlobBody, type Part } from "./blob-body.ts";
import { BlobCollector, graceMs } from "./blob-collector.ts";
import { chunkCount, garbageKey, type ObjectRecord, objectKey, readObject, toInfo } from "./blob-records.ts";
import { type BlobContext, BlobWriter, uploadLost } from "./blob-writer.ts";
import { type ByteSource, piecesOf } from "./byte-source.ts";
import { Retries, retry } from "./retries.ts";

/** The objects of one store. */
export interface BlobStore {
  /** The objects whose keys begin with these parts, under the rest of their keys. */
  under(namespace: Key): Blobs;
  /** Removes a portion of the chunks that are due to go; resolves with their number. Happens by itself when objects are put or deleted. */
  collect(): Promise<number>;
}

/**
 * Objects kept in keys, see `blob-records.ts` for the layout. A put stores its chunks under a fresh id and then switches the description over in one
 * commit, so nothing half-way is ever visible; what a process that died left behind is recorded beforehand, and collected.
 */
export function createBlobStore(context: BlobContext): BlobStore {
  const collector = new BlobCollector(context);
  const ids = createIds(context.runtime);
  return {
    under: (namespace) => new BlobsFace(context, namespace, collector, ids),
    collect: () => collector.collect(),
  };
}

class BlobsFace implements Blobs {
  readonly #context: BlobContext;
  readonly #namespace: Key;
  readonly #collector: BlobCollector;
  readonly #ids: Ids;

  constructor(context: BlobContext, namespace: Key, collector: BlobCollector, ids: Ids) {
    this.#context = context;
    this.#namespace = namespace;
    this.#collector = collector;
    this.#ids = ids;
  }

  async put(key: Key, data: ByteSource, options: BlobPutOptions = {}): Promise<BlobInfo> {
    const { signal, ifMatch } = options;
    const place = this.#place(key);
    assertEtag(ifMatch);
    const metadata = toMetadata(options.metadata);
    throwIfAborted(signal);
    const pieces = piecesOf(data, this.#context.runtime, signal);
    const id = this.#ids.next();
    const writer = new BlobWriter(this.#context, id, signal, () => this.#expect(place, ifMatch, signal));
    try {
      for await (const piece of pieces) await writer.write(piece);
      const bytes = await writer.finish();
      const modified = await raceAbort(this.#context.clock.now(), signal);
      const object: ObjectRecord = { etag: id, ...bytes, modified, metadata };
      await this.#publish(place, object, writer, options);
      this.#collector.nudge();
      return toInfo([...key], object);
    } catch (error) {
      // Not waited for: what it does not get to is collected later.
      writer.abandon().catch(() => {});
      throw error;
    }
  }

  async get(key: Key, options: BlobGetOptions = {}): Promise<StoredBlob | undefined> {
    const { signal, range } = options;
    const place = this.#place(key);
    assertRange(range);
    const object = await this.#find(place, signal);
    if (!object) return undefined;
    const body = new BlobBody(this.#context, place, object, toPart(range, object.size), signal);
    return {
      ...toInfo([...key], object),
      get body() {
        return body.stream;
      },
      bytes: () => body.bytes(),
    };
  }

  async head(key: Key, options: { readonly signal?: AbortSignal } = {}): Promise<BlobInfo | undefined> {
    const object = await this.#find(this.#place(key), options.signal);
    return object && toInfo([...key], object);
  }

  list(
    range: KeyRange,
    options: { readonly limit?: number; readonly reverse?: boolean; readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<BlobInfo> {
    // For the errors, which then name the range as the caller knows it.
    encodeRange(range);
    return this.#list(this.#rangeOf(range), toLimit(options.limit), options);
  }

  async delete(key: Key, options: { readonly ifMatch?: string; readonly signal?: AbortSignal } = {}): Promise<boolean> {
    const { signal, ifMatch } = options;
    const place = this.#place(key);
    assertEtag(ifMatch);
    throwIfAborted(signal);
    for (let conflicts = 0; ; conflicts++) {
      const entry = await this.#entry(place, signal);
      assertMatch(place, entry, ifMatch);
      if (!entry) return false;
      const mutations = [{ delete: place }, ...(await this.#discard(entry))];
      const outcome = await this.#context.kv.tryCommit(
        { checks: [{ key: place, version: entry.version }], mutations },
        signal && { signal },
      );
      if (outcome.ok) break;
      await this.#contend(place, conflicts, signal);
    }
    this.#collector.nudge();
    return true;
  }

  async *#list(
    range: KeyRange,
    limit: number,
    options: { readonly reverse?: boolean; readonly signal?: AbortSignal },
  ): AsyncGenerator<BlobInfo> {
    const depth = objectKey(this.#namespace).length;
    // Descriptions may hold the bytes of small objects, so their pages are kept small.
    for (let left = limit, rest = range; left > 0; left -= listedAtOnce) {
      const most = Math.min(left, listedAtOnce);
      const page = await Array.fromAsync(this.#context.kv.list(rest, { ...options, limit: most }));
      for (const entry of page) yield toInfo(entry.key.slice(depth), readObject(entry));
      const last = page.at(-1);
      if (!last || page.length < most) return;
      rest = beyond(rest, last.key, options.reverse ?? false);
    }
  }

  /** Switches the object over to the new bytes, as soon as nobody else does the same at that moment. */
  async #publish(
    place: Key,
    object: ObjectRecord,
    writer: BlobWriter,
    { ifMatch, signal }: BlobPutOptions,
  ): Promise<void> {
    const { kv, runtime } = this.#context;
    const retries = new Retries(runtime, signal);
    /** The last commit whose answer was lost, and what it expected to replace. */
    let doubt: { readonly error: unknown; readonly replaces: Version | undefined } | undefined;
    try {
      for (let conflicts = 0; ; ) {
        const entry = await retry(runtime, signal, () => this.#entry(place, signal));
        if (doubt && entry && readObject(entry).etag === object.etag) return;
        assertMatch(place, entry, ifMatch);
        const upload = writer.publication();
        if (doubt && upload.checks.length === 0 && mayHaveBeenReplaced(doubt.replaces, entry)) throw doubt.error;
        const checks = [{ key: place, version: entry?.version }, ...upload.checks];
        const garbage = entry ? await this.#discard(entry) : [];
        const mutations = [{ set: place, value: object }, ...upload.mutations, ...garbage];
        try {
          const outcome = await kv.tryCommit({ checks, mutations }, signal && { signal });
          if (outcome.ok) return;
          if (outcome.refusal.reason === "check" && outcome.refusal.check === 1) {
            // The upload has come to its end: by the commit whose answer was lost, if there is one.
            if (doubt) return;
            throw uploadLost();
          }
        } catch (error) {
          if (isAshlarError(error, "OUTCOME_UNKNOWN")) doubt = { error, replaces: entry?.version };
          await retries.after(error);
          continue;
        }
        await this.#contend(place, conflicts++, signal);
      }
    } catch (error) {
      // Whatever came later, the object may have been stored.
      throw doubt?.error ?? error;
    }
  }

  /** What the commit that takes the object's place has to do about its chunks. */
  async #discard(entry: Entry): Promise<Mutation[]> {
    const object = readObject(entry);
    const chunks = chunkCount(object);
    if (chunks === 0) return [];
    const due = (await this.#context.clock.now()) + graceMs;
    return [{ set: garbageKey(due, object.etag), value: { from: 0, chunks } }];
  }

  /** Fails early, before bytes are stored for nothing. */
  async #expect(place: Key, ifMatch: string | null | undefined, signal: AbortSignal | undefined): Promise<void> {
    if (ifMatch !== undefined) assertMatch(place, await this.#entry(place, signal), ifMatch);
  }

  /** Waits a little before the next try after so many conflicts. */
  async #contend(place: Key, conflicts: number, signal: AbortSignal | undefined): Promise<void> {
    if (conflicts >= mostConflicts) {
      throw new ConflictError(
        `object ${keyName(place.slice(1))}: others replaced it during each of ${mostConflicts} tries; try again later`,
      );
    }
    const { runtime } = this.#context;
    await sleep(runtime, runtime.random.next() * Math.min(conflicts, 50), signal ? { signal } : {});
  }

  async #find(place: Key, signal: AbortSignal | undefined): Promise<ObjectRecord | undefined> {
    const entry = await this.#entry(place, signal);
    return entry && readObject(entry);
  }

  async #entry(place: Key, signal: AbortSignal | undefined): Promise<Entry | undefined> {
    throwIfAborted(signal);
    return await raceAbort(this.#context.kv.get(place, signal && { signal }), signal);
  }

  /** The key in the store. */
  #place(key: Key): Key {
    const bytes = encodeKey(key);
    if (bytes.length === 0) throw invalidArgument("key", key, "a tuple of at least one part");
    const length = encodeKey(this.#namespace).length + bytes.length;
    const most = this.#context.limits.keyBytes - placeBytes;
    if (length > most) throw limitExceeded(`key ${keyName(key)}`, length, most, "bytes encoded");
    return objectKey([...this.#namespace, ...key]);
  }

  #rangeOf(range: KeyRange): KeyRange {
    const place = (key: Key) => objectKey([...this.#namespace, ...key]);
    if (range.key) return range.key.length > 0 ? { key: place(range.key) } : { prefix: place([]), end: place([]) };
    const { prefix = [], start, after, end } = range;
    return {
      prefix: place(prefix),
      ...(start && { start: place(start) }),
      ...(after && { after: place(after) }),
      ...(end && { end: place(end) }),
    };
  }
}

/** Bytes of an object's key in the store besides the caller's: 0xFF, "blob", "object". */
const placeBytes = 1 + 6 + 8;
const listedAtOnce = 64;
const mostConflicts = 200;
const metadataBytes = 8 * 1024;

/** What of the range comes after the key, or before it if `reverse`. */
function beyond(range: KeyRange, key: Key, reverse: boolean): KeyRange {
  if (range.key) return { prefix: key, end: key };
  if (reverse) return { ...range, end: key };
  const { start: _, ...rest } = range;
  return { ...rest, after: key };
}

/**
 * Whether the commit whose answer was lost may have taken place, though the object is another one now: then to do it again could bring back what somebody has
 * replaced since. Not so while what it expected to replace is still there, since the next commit expects the same, and one of the
 * two is refused. That nothing was there tells nothing: others may have deleted the object since.
 */
function mayHaveBeenReplaced(replaces: Version | undefined, entry: Entry | undefined): boolean {
  return replaces === undefined || entry?.version !== replaces;
}

/** @throws ConflictError the object is not the one that the caller expects */
function assertMatch(place: Key, entry: Entry | undefined, ifMatch: string | null | undefined): void {
  if (ifMatch === undefined) return;
  const present = entry ? readObject(entry).etag : null;
  if (present === ifMatch) return;
  const found = present === null ? "there is no such object" : `its etag is "${present}"`;
  const expected = ifMatch === null ? "none was expected" : `"${ifMatch}" was expected`;
  throw new ConflictError(`object ${keyName(place.slice(1))}: ${found}, ${expected}; look at it again`, {
    details: { reason: "etag", etag: present },
  });
}

function assertEtag(ifMatch: unknown): asserts ifMatch is string | null | undefined {
  if (ifMatch === undefined || ifMatch === null || (typeof ifMatch === "string" && ifMatch !== "")) return;
  throw invalidArgument("ifMatch", ifMatch, "an etag, or null for an object that must not exist yet");
}

function toMetadata(given: unknown): Readonly<Record<string, string>> {
  if (given === undefined) return {};
  const isPlain =
    typeof given === "object" && given !== null && [Object.prototype, null].includes(Object.getPrototypeOf(given));
  if (!isPlain) throw invalidArgument("metadata", given, "an object of strings");
  const metadata = { ...given } as Record<string, string>;
  for (const [name, value] of Object.entries(metadata)) {
    if (typeof value !== "string") throw invalidArgument(`metadata.${name}`, value, "a string");
  }
  const size = encodeValue(metadata, "metadata").length;
  if (size > metadataBytes) throw limitExceeded("metadata", size, metadataBytes, "bytes encoded");
  return metadata;
}

function assertRange(range: unknown): void {
  if (range === undefined) return;
  const allowed = "{ start, end? }: whole numbers, 0 <= start <= end";
  if (typeof range !== "object" || range === null) throw invalidArgument("range", range, allowed);
  const { start, end = Number.MAX_SAFE_INTEGER } = range as { start?: unknown; end?: unknown };
  if (!Number.isSafeInteger(start) || (start as number) < 0) throw invalidArgument("range.start", start, allowed);
  if (!Number.isSafeInteger(end) || (end as number) < (start as number))
    throw invalidArgument("range.end", end, allowed);
}

/** @throws InvalidArgumentError the range starts at or after the object's end */
function toPart(range: BlobGetOptions["range"], size: number): Part {
  if (!range) return { start: 0, end: size };
  if (range.start >= size)
    throw new InvalidArgumentError(`range: starts at byte ${range.start} of an object of ${size} bytes`);
  return { start: range.start, end: Math.min(range.end ?? size, size) };
}
