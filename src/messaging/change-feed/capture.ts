import type { Leadership } from "../../coordination/election/index.ts";
import {
  ClosedError,
  compareBytes,
  createIds,
  encodeKey,
  encodeRange,
  encodeValue,
  fullJitter,
  type Ids,
  InvalidStateError,
  isAshlarError,
  type Key,
  type KeyRange,
  linkSignals,
  sleep,
  toBinaryString,
} from "../../core/index.ts";
import type { Change, Engine, Transaction } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import { type Captured, changesTopic, ImageKeys, imageRange, keys, type LongImage } from "./layout.ts";
import type { Settings } from "./options.ts";
import { segmentsOf } from "./segments.ts";
import { trim } from "./trim.ts";

/** A change as it is to be told, and what its record takes. */
interface Planned {
  readonly key: Key;
  /** `undefined`: it is gone. */
  readonly version: string | undefined;
  readonly value: unknown;
  readonly bytes: number;
  readonly isLarge: boolean;
}

/** Bytes of a commit that are left for keys, checks and the fence. */
const commitSlack = 64 * 1024;
const fenceChecks = 8;

/**
 * Keeps the feed level with the range, as long as it leads. Each commit compares the changes with the image once more: a change that was told already, by a commit whose answer was lost or
 * by an earlier leader, is not told again.
 */
export class Capture {
  readonly #engine: Engine;
  readonly #scope: Engine;
  readonly #name: string;
  readonly #settings: Settings;
  readonly #imageKeys: ImageKeys;
  readonly #ids: Ids;

  constructor(engine: Engine, scope: Engine, name: string, settings: Settings) {
    this.#engine = engine;
    this.#scope = scope;
    this.#name = name;
    this.#settings = settings;
    this.#imageKeys = new ImageKeys(scope);
    this.#ids = createIds(scope.runtime);
  }

  /** Until the signal aborts, whose reason it throws; or until something is wrong for good. */
  async lead(fence: Leadership, signal: AbortSignal): Promise<void> {
    if (channels.leading.hasSubscribers)
      channels.leading.publish({ feed: this.#name } satisfies channels.CaptureMessage);
    const { runtime } = this.#scope;
    for (let failures = 0; ; failures++) {
      const began = runtime.clock.monotonic();
      try {
        await this.#claimRange(fence, signal);
        await this.#captureAll(fence, signal);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        const passes = isAshlarError(error) && (error.retryable || error.code === "OUTCOME_UNKNOWN");
        if (!passes) throw error;
        if (channels.trouble.hasSubscribers)
          channels.trouble.publish({ feed: this.#name, error } satisfies channels.CaptureMessage);
      }
      if (runtime.clock.monotonic() - began > 10_000) failures = 0;
      await sleep(runtime, fullJitter(runtime, failures, { base: 10, cap: 2000 }), { signal });
    }
  }

  /** A feed under the same name for another range would neither tell what is gone nor what was there. */
  async #claimRange(fence: Leadership, signal: AbortSignal): Promise<void> {
    const { start, end } = this.#settings.bytes;
    const given = toBinaryString(encodeValue([start, end]));
    await this.#scope.transact(
      async (tx) => {
        const known = await tx.get<string>(keys.range);
        if (known === undefined) tx.set(keys.range, given);
        else if (known !== given)
          throw new InvalidStateError(
            `the change feed ${JSON.stringify(this.#name)} was begun with another range; give the new range a feed of its own`,
          );
      },
      { fence, signal },
    );
  }

  /** Segments are taken up one after another, so that the values of one at a time are in memory. */
  async #captureAll(fence: Leadership, signal: AbortSignal): Promise<void> {
    const ending = new AbortController();
    using linked = linkSignals(signal, ending.signal);
    const until = linked.signal;
    const following: Promise<void>[] = [];
    try {
      const failed = Promise.withResolvers<never>();
      failed.promise.catch(() => {});
      const { retention } = this.#settings;
      if (retention !== undefined) {
        const trimming = trim(this.#scope, { retention, fence, signal: until });
        trimming.catch(failed.reject);
        following.push(trimming);
      }
      for await (const range of segmentsOf(this.#engine, this.#settings, until)) {
        const ready = Promise.withResolvers<void>();
        const segment = this.#captureSegment(range, fence, until, ready.resolve);
        segment.catch(failed.reject);
        following.push(segment);
        await Promise.race([ready.promise, failed.promise]);
      }
      await failed.promise;
    } finally {
      ending.abort(new DOMException("capturing begins anew", "AbortError"));
      await Promise.allSettled(following);
    }
  }

  async #captureSegment(range: KeyRange, fence: Leadership, signal: AbortSignal, ready: () => void): Promise<void> {
    const watch = this.#engine.kv.watch(range, { signal });
    try {
      await handNext(watch, (present) => this.#catchUp(range, present, fence, signal));
      ready();
      for (;;) await handNext(watch, (changes) => this.#tell(changes, fence, signal));
    } finally {
      await watch.return?.();
    }
  }

  /** What is there compared with what was told: first what is gone, then what is new, in commit order. */
  async #catchUp(range: KeyRange, present: readonly Change[], fence: Leadership, signal: AbortSignal): Promise<void> {
    const news = new Map<string, Change>();
    for (const change of present) news.set(toBinaryString(encodeKey(change.key)), change);
    let gone: Change[] = [];
    const compare = async (key: Key, version: string): Promise<void> => {
      const name = toBinaryString(encodeKey(key));
      const change = news.get(name);
      if (change?.version === version) news.delete(name);
      if (change !== undefined) return;
      gone.push({ key: [...key], deleted: true });
      if (gone.length < 1000) return;
      await this.#tell(gone, fence, signal);
      gone = [];
    };
    for await (const { key, value } of this.#scope.kv.list<string>(imageRange(range), { signal }))
      await compare(key.slice(1), value);
    const { start, end } = encodeRange(range);
    for await (const { value } of this.#scope.kv.list<LongImage>({ prefix: ["long"] }, { signal })) {
      const bytes = encodeKey(value.key);
      if (compareBytes(bytes, start) >= 0 && compareBytes(bytes, end) < 0) await compare(value.key, value.version);
    }
    await this.#tell(gone, fence, signal);
    await this.#tell([...news.values()], fence, signal);
  }

  async #tell(changes: readonly Change[], fence: Leadership, signal: AbortSignal): Promise<void> {
    const { operations, commitBytes } = this.#scope.limits;
    // A check of the image, a record, the image, and maybe a large value.
    const most = Math.max(1, Math.floor((operations - fenceChecks) / 4));
    let batch: Planned[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      if (batch.length > 0) await this.#commit(batch, fence, signal);
      batch = [];
      bytes = 0;
    };
    for (const change of changes) {
      const planned = this.#plan(change);
      if (batch.length >= most || bytes + planned.bytes > commitBytes - commitSlack) await flush();
      batch.push(planned);
      bytes += planned.bytes;
    }
    await flush();
  }

  #plan({ key, value, version }: Change): Planned {
    const size = encodeValue({ key, version, value: value ?? null }).length;
    const keySize = encodeKey(key).length;
    return { key, version, value, bytes: size + 3 * keySize + 100, isLarge: size > this.#scope.limits.valueBytes };
  }

  async #commit(batch: readonly Planned[], fence: Leadership, signal: AbortSignal): Promise<void> {
    const told = await this.#scope.transact((tx) => this.#write(tx, batch), { fence, signal, deadline: "30s" });
    if (told > 0 && channels.captured.hasSubscribers)
      channels.captured.publish({ feed: this.#name, changes: told } satisfies channels.CaptureMessage);
  }

  /** Resolves with how many of them were news. */
  async #write(tx: Transaction, batch: readonly Planned[]): Promise<number> {
    const places = batch.map(({ key }) => this.#imageKeys.of(key));
    const images = await tx.getMany<string | LongImage>(places.map(({ at }) => at));
    const records: Captured[] = [];
    for (const [i, { key, version, value, isLarge }] of batch.entries()) {
      const image = images[i];
      const place = places[i];
      if (place === undefined || versionOf(image) === version) continue;
      if (version === undefined) {
        tx.delete(place.at);
        records.push({ key });
        continue;
      }
      tx.set(place.at, place.isLong ? ({ key, version } satisfies LongImage) : version);
      if (!isLarge) {
        records.push({ key, version, value });
        continue;
      }
      const large = this.#ids.next();
      tx.set(keys.large(large), value);
      records.push({ key, version, large });
    }
    if (records.length > 0) tx.append(changesTopic, records);
    return records.length;
  }
}

/** In a function of its own: a loop would keep the array, and with it all values of a segment, for as long as it waits for the next. */
async function handNext(
  watch: AsyncIterableIterator<Change[]>,
  handle: (changes: readonly Change[]) => Promise<void>,
): Promise<void> {
  const { done, value } = await watch.next();
  if (done) throw new ClosedError("the watch of the range has ended");
  await handle(value);
}

function versionOf(image: string | LongImage | undefined): string | undefined {
  return typeof image === "object" ? image.version : image;
}
