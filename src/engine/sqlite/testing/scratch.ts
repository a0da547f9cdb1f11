import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { sleep, systemRuntime } from "../../../core/index.ts";
import type { Driver, RawCommit, RawMutation } from "../../driver.ts";
import { createSqliteDriver, type SqliteOptions } from "../driver.ts";

/** A path for a database in a folder that is removed after the test. */
export function scratchFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-sqlite-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "data.db");
}

/** A driver that is closed after the test. */
export async function scratchDriver(t: TestContext, options: Partial<SqliteOptions> = {}): Promise<Driver> {
  const driver = await createSqliteDriver({ file: options.file ?? scratchFile(t), ...options });
  t.after(() => driver.close());
  return driver;
}

export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text));
}

export function text(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value).toString();
}

export function set(key: string, value: string | Uint8Array, ttl?: number): RawMutation {
  return { kind: "set", key: bytes(key), value: typeof value === "string" ? bytes(value) : value, ttl };
}

export function remove(key: string): RawMutation {
  return { kind: "delete", key: bytes(key) };
}

export function append(topic: string, ...records: readonly (string | Uint8Array)[]): RawMutation {
  return {
    kind: "append",
    topic: bytes(topic),
    records: records.map((each) => (typeof each === "string" ? bytes(each) : each)),
  };
}

export function commitOf(...mutations: readonly RawMutation[]): RawCommit {
  return { checks: [], mutations, bytes: 0 };
}

/** The value of the key as text. */
export async function valueAt(driver: Driver, key: string): Promise<string | undefined> {
  const [entry] = await driver.getMany([bytes(key)], {});
  return text(entry?.value);
}

/** Every record of the topic as text. */
export async function recordsOf(driver: Driver, topic: string): Promise<string[]> {
  const records = await driver.log?.read(bytes(topic), { from: 0, limit: 1_000_000, bytes: 1e9 });
  return (records ?? []).map(({ value }) => text(value) as string);
}

/** Waits until the condition holds. Fails after ten seconds. */
export async function eventually<T>(what: string, condition: () => T | Promise<T>): Promise<NonNullable<T>> {
  const { clock } = systemRuntime;
  const deadline = clock.monotonic() + 10_000;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (clock.monotonic() > deadline) throw new Error(`not within 10 s: ${what}`);
    await sleep(systemRuntime, 2);
  }
}
