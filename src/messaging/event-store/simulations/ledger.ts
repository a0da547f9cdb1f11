import assert from "node:assert/strict";
import type { World } from "../../../simulation/index.ts";
import type { PositionedEvent } from "../index.ts";
import type { StoredRow } from "../layout.ts";

export interface Change {
  readonly type: "changed" | "noted";
  readonly name: string;
  readonly amount: number;
}

export interface Book {
  /** By the event's name: its stream, and its version if it was acknowledged. */
  readonly acknowledged: Map<string, { readonly stream: string; readonly version: number }>;
  readonly refused: Set<string>;
  /** Acknowledged: the greatest version of each stream. */
  readonly versions: Map<string, number>;
  readonly deleted: Set<string>;
  position: number;
  number: number;
  version: number;
}

export const bookOf = ({ state }: Pick<World, "state">) => state.get("book") as Book;
export const seenBy = ({ state }: Pick<World, "state">) => state.get("seen") as Map<string, PositionedEvent<Change>[]>;
/** Of these nothing is truncated or deleted. */
export const isKept = (stream: string) => stream.startsWith("acc");

interface Placed {
  readonly stream: string;
  readonly version: number;
  /** `undefined`: truncated. */
  readonly event: Change | undefined;
}

async function stored({ engine }: World): Promise<Map<string, Placed[]>> {
  const streams = new Map<string, Placed[]>();
  const scope = engine.scope("event-store", "ledger");
  for await (const { key, value } of scope.kv.list<StoredRow>({ prefix: ["row"] })) {
    const [, stream, first] = key as [string, string, number];
    const placed = streams.get(stream) ?? [];
    streams.set(stream, placed);
    const last = placed.at(-1);
    if (last) assert.equal(first, last.version + 1, `${stream} has a row at ${first} after version ${last.version}`);
    else if (isKept(stream)) assert.equal(first, 1, `${stream} begins at ${first}`);
    for (const [i, body] of (value[2] ?? [null]).entries())
      placed.push({ stream, version: first + i, event: (body as Change | null) ?? undefined });
  }
  return streams;
}

export async function rowsHold(world: World): Promise<void> {
  const { acknowledged, refused, deleted } = bookOf(world);
  const found = new Map<string, Placed>();
  for (const [stream, placed] of await stored(world)) {
    let balance = 0;
    for (const each of placed) {
      if (!each.event) continue;
      const { name, amount } = each.event;
      assert.ok(!found.has(name), `${name} is there twice`);
      assert.ok(!refused.has(name), `${name} was refused, and is there`);
      assert.ok(!deleted.has(stream), `${stream} was deleted, and has events`);
      found.set(name, each);
      balance += amount;
      if (isKept(stream)) assert.ok(balance >= 0, `${stream} is overdrawn at version ${each.version}`);
    }
  }
  for (const [name, { stream, version }] of acknowledged) {
    const at = found.get(name);
    if (at === undefined && !isKept(stream)) continue;
    assert.deepEqual([at?.stream, at?.version], [stream, version], `${name} is not where it was acknowledged`);
  }
}

async function ordered({ engine }: World): Promise<[stream: string, version: number, index?: number][]> {
  const scope = engine.scope("event-store", "ledger");
  const references: [string, number, number?][] = [];
  for (;;) {
    const records = await scope.log.read<[string, number, number?]>(["log"], { from: references.length });
    if (records.length === 0) return references;
    for (const { value } of records) references.push(value);
  }
}

export async function orderHolds(world: World): Promise<void> {
  const versions = new Map<string, number>();
  for (const [stream, version] of await ordered(world)) {
    assert.equal(version, (versions.get(stream) ?? 0) + 1, `${stream} in the order of all events`);
    versions.set(stream, version);
  }
  for (const [stream, placed] of await stored(world)) {
    const last = placed.at(-1)?.version;
    // The tombstone is no event.
    const expected = stream.startsWith("gone") && last !== versions.get(stream) ? (last ?? 1) - 1 : last;
    assert.equal(versions.get(stream), expected, `${stream} is not in the order of all events up to its end`);
  }
}

async function namesInOrder(world: World): Promise<string[]> {
  const streams = await stored(world);
  const names: string[] = [];
  for (const [stream, version] of await ordered(world))
    if (isKept(stream)) names.push(streams.get(stream)?.[version - 1]?.event?.name as string);
  return names;
}

async function projectedBy({ engine }: World, generation: number): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const records = await engine.log.read<string>(["projected", generation], { from: names.length });
    if (records.length === 0) return names;
    for (const { value } of records) names.push(value);
  }
}

export async function generationsHold(world: World): Promise<void> {
  const names = await namesInOrder(world);
  const { last = 0 } = (await recordOf(world)) ?? {};
  for (let generation = 1; generation <= last; generation++) {
    const projected = await projectedBy(world, generation);
    assert.deepEqual(projected, names.slice(0, projected.length), `generation ${generation}`);
  }
}

/** Also when another generation takes the place of the one before. */
export async function neverBack(world: World): Promise<void> {
  const { active } = (await recordOf(world)) ?? {};
  if (!active) return;
  const scope = world.engine.scope("event-store", "ledger");
  const position = (await scope.kv.get<number>(["projection", "balances", active.number]))?.value ?? 0;
  const before = (world.state.get("in use") as number | undefined) ?? 0;
  assert.ok(position >= before, `generation ${active.number} is at ${position}, and ${before} was in use before`);
  world.state.set("in use", position);
}

export async function nothingLeft(world: World): Promise<boolean> {
  const { active, next, retired = [] } = (await recordOf(world)) ?? {};
  const used = new Set([active?.number, next?.number, ...retired]);
  const scope = world.engine.scope("event-store", "ledger");
  for (const prefix of [["view"], ["projection", "balances"]])
    for await (const { key } of scope.kv.list({ prefix }))
      assert.ok(used.has(key[2] as number), `${key.join("/")} is of a generation out of use`);
  return true;
}

async function recordOf({ engine }: World) {
  type Generation = { number: number; version: number };
  type Stored = { last: number; active?: Generation; next?: Generation; retired?: number[] };
  return (await engine.scope("event-store", "ledger").kv.get<Stored>(["projection", "balances"]))?.value;
}

export async function projectionIsFold(world: World): Promise<boolean> {
  const { active } = (await recordOf(world)) ?? {};
  if (!active) return false;
  const names = await namesInOrder(world);
  if (active.version < bookOf(world).version) return false;
  const projected = await projectedBy(world, active.number);
  assert.equal(projected.length, names.length, `generation ${active.number} is not at the end`);
  const balances = new Map<string, number>();
  for (const [stream, placed] of await stored(world))
    if (isKept(stream))
      balances.set(
        stream,
        placed.reduce((sum, { event }) => sum + (event?.amount ?? 0), 0),
      );
  const view = world.engine.scope("event-store", "ledger", "view", "balances", active.number);
  const entries = await Array.fromAsync(view.kv.list<number>({ prefix: [] }));
  assert.deepEqual(new Map(entries.map(({ key, value }) => [String(key[0]), value])), balances);
  return true;
}

export async function followersHaveSeen(world: World): Promise<boolean> {
  const names = await namesInOrder(world);
  for (const follower of world.running("follower")) {
    const seen = (seenBy(world).get(follower) ?? []).filter(({ stream }) => isKept(stream));
    assert.deepEqual(
      seen.map(({ data }) => data.name),
      names,
      `${follower} has seen something else than there is`,
    );
  }
  return true;
}
