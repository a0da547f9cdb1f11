import { compareBytes, equalBytes } from "../../../core/index.ts";
import type { RawRecord } from "../../driver.ts";
import type { Store, StoredEntry } from "../../evaluate.ts";

/** The store that needs no explanation: what the real one is compared with. */
export class DumbStore implements Store {
  readonly entries: { key: Uint8Array; entry: StoredEntry }[] = [];
  readonly topics: { topic: Uint8Array; records: RawRecord[]; next: number; time: number }[] = [];

  get(key: Uint8Array): StoredEntry | undefined {
    return this.entries.find((each) => equalBytes(each.key, key))?.entry;
  }

  range(start: Uint8Array, end: Uint8Array, limit: number, now: number): { key: Uint8Array; revision: number }[] {
    return this.sorted(now)
      .filter(({ key }) => compareBytes(key, start) >= 0 && compareBytes(key, end) < 0)
      .slice(0, limit)
      .map(({ key, entry }) => ({ key, revision: entry.revision }));
  }

  sorted(now: number): { key: Uint8Array; entry: StoredEntry }[] {
    return this.entries
      .filter(({ entry }) => entry.expires === 0 || entry.expires > now)
      .sort((a, b) => compareBytes(a.key, b.key));
  }

  set(key: Uint8Array, value: Uint8Array, revision: number, expires: number): void {
    this.delete(key);
    this.entries.push({ key, entry: { value, revision, expires } });
  }

  delete(key: Uint8Array): void {
    const at = this.entries.findIndex((each) => equalBytes(each.key, key));
    if (at >= 0) this.entries.splice(at, 1);
  }

  append(topic: Uint8Array, records: readonly Uint8Array[], now: number): number {
    let found = this.topics.find((each) => equalBytes(each.topic, topic));
    if (!found) {
      found = { topic, records: [], next: 0, time: 0 };
      this.topics.push(found);
    }
    const first = found.next;
    found.time = Math.max(found.time, now);
    for (const value of records) found.records.push({ offset: found.next++, value, time: found.time });
    return first;
  }

  trim(topic: Uint8Array, before: number): void {
    const found = this.topics.find((each) => equalBytes(each.topic, topic));
    if (found) found.records = found.records.filter(({ offset }) => offset >= before);
  }
}
