import { patiently } from "../../coordination/lease/index.ts";
import type { OwnedShard } from "../../coordination/shard-map/index.ts";
import { fullJitter, isAshlarError, type Key, sleep, type Timer } from "../../core/index.ts";
import type { Engine, Entry, Version } from "../../engine/index.ts";
import * as channels from "./channels.ts";
import { closeChildren } from "./children.ts";
import type { Workflow } from "./contract.ts";
import type { EndingsHere } from "./endings-here.ts";
import { Execution } from "./execution.ts";
import { forget } from "./forgetting.ts";
import type { Gate } from "./gate.ts";
import type { Departure, Host, Loaded } from "./host.ts";
import { type Completion, generationOf, keys, type Message, type RunRecord } from "./layout.ts";
import type { Settings } from "./options.ts";

/** Runs whose time has come, in one commit. */
const page = 50;
/** Runs of workflows that this program does not know are looked at again after so many milliseconds. */
const unknownAgainMs = 5000;

export interface OwnerParts {
  readonly user: Engine;
  readonly engine: Engine;
  readonly settings: Settings;
  readonly workflows: ReadonlyMap<string, Workflow>;
  readonly shardOf: (id: string) => number;
  /** Bodies of steps. */
  readonly gate: Gate;
  /** Runs in memory. */
  readonly room: Gate;
  readonly now: () => Promise<number>;
  readonly endings: EndingsHere;
}

/** Carries on the runs of one shard for as long as it is owned. */
export class ShardOwner {
  readonly #parts: OwnerParts;
  readonly #owned: OwnedShard;
  readonly #host: Host;
  /** Those in memory, and those on the way into it. */
  readonly #runs = new Map<string, Execution | undefined>();
  /** Something came for those while they were on their way in or out. */
  readonly #again = new Set<string>();
  /** The start of a run that was offered, as the watch will show it. */
  readonly #offered = new Map<string, Version>();
  readonly #departures = new Set<Promise<void>>();
  readonly #end = new AbortController();
  #timer: Timer | undefined;
  /** When the timer is to go off, by the engine's clock. */
  #due = Number.POSITIVE_INFINITY;
  #arming: Promise<void> | undefined;
  #stopping = false;

  constructor(parts: OwnerParts, owned: OwnedShard) {
    this.#parts = parts;
    this.#owned = owned;
    const { user, engine, gate, now, settings, workflows, shardOf } = parts;
    this.#host = {
      workflows,
      shardOf,
      user,
      engine,
      gate,
      now,
      shard: owned.shard,
      parkAfter: settings.parkAfter,
      retention: settings.retention,
      maxHistory: settings.maxHistory,
      trouble: (error) => this.#tellTrouble(error),
      log: (told) => channels.log.publish({ name: settings.name, ...told } satisfies channels.LogMessage),
      guard: (tx) => owned.guard(tx),
      parked: (due) => this.#expect(due),
      looked: (id) => this.#again.delete(id),
    };
    const lost = () => this.abandon(owned.signal.reason);
    if (owned.signal.aborted) lost();
    else owned.signal.addEventListener("abort", lost, { once: true });
  }

  get live(): number {
    return this.#runs.size;
  }

  /** Resolves when it is to end; rejects if the engine is closed before. */
  async run(): Promise<void> {
    const { engine } = this.#parts;
    const { signal } = this.#end;
    const { now } = this.#parts;
    const guard = this.#host.guard;
    void forget({ engine, shard: this.#owned.shard, now, guard, trouble: this.#host.trouble }, signal);
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await patiently(engine, () => this.#retryStuck(), signal);
        this.#expect(Number.NEGATIVE_INFINITY);
        await patiently(engine, () => this.#follow(), signal);
      } catch (error) {
        if (signal.aborted) return;
        if (isAshlarError(error, "CLOSED")) throw error;
        this.#tellTrouble(error);
      }
      const pause = fullJitter(engine.runtime, failures, { base: 10, cap: 1000 });
      await sleep(engine.runtime, pause, { signal, ref: false }).catch(() => {});
    }
  }

  /** A run that was started by this process, and nobody has heard of. */
  offer(id: string, record: RunRecord, version: Version): void {
    if (this.#stopping || this.#runs.has(id)) return;
    this.#runs.set(id, undefined);
    this.#offered.set(id, version);
    this.#parts.endings.enter(id);
    void this.#enter(id, { record, version });
  }

  /** Begins nothing more; resolves when what was under way has ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const execution of this.#runs.values()) execution?.stop();
    while (this.#departures.size > 0) await Promise.all(this.#departures);
    this.abandon(new Error("the shard was handed over"));
  }

  abandon(reason: unknown): void {
    this.#stopping = true;
    this.#end.abort(reason);
    this.#timer?.cancel();
    for (const execution of this.#runs.values()) execution?.abandon(reason);
  }

  async #follow(): Promise<void> {
    const { engine } = this.#parts;
    const { shard } = this.#owned;
    for await (const changes of engine.kv.watch({ prefix: ["active", shard] }, { signal: this.#end.signal }))
      for (const { key, deleted, version } of changes) {
        const id = key[2] as string;
        const offered = this.#offered.get(id);
        this.#offered.delete(id);
        // What this process has begun is no news.
        if (!deleted && offered !== version) this.#rouse(id);
      }
  }

  /** There is something new for the run. */
  #rouse(id: string): void {
    if (this.#stopping) return;
    if (!this.#runs.has(id)) {
      this.#runs.set(id, undefined);
      void this.#enter(id, undefined);
      return;
    }
    const execution = this.#runs.get(id);
    this.#again.add(id);
    execution?.poke();
  }

  async #enter(
    id: string,
    fresh: { readonly record: RunRecord; readonly version: Version } | undefined,
  ): Promise<void> {
    const { room } = this.#parts;
    const entered = room.enter();
    // Whoever waits here has begun nothing, and keeps nobody from stopping.
    if (entered) await entered;
    const departure = this.#stay(id, fresh);
    this.#departures.add(departure);
    await departure.finally(() => this.#departures.delete(departure));
  }

  async #stay(id: string, fresh: { readonly record: RunRecord; readonly version: Version } | undefined): Promise<void> {
    const { room, engine } = this.#parts;
    let given = fresh;
    try {
      for (let failures = 0; !this.#stopping; ) {
        let departure: Departure | undefined;
        try {
          departure = await this.#carry(id, given);
        } catch (error) {
          if (isAshlarError(error, "CLOSED") || this.#end.signal.aborted) return;
          this.#tellTrouble(error);
          departure = "reload";
        }
        given = undefined;
        if (departure === "renewed") continue;
        if (departure !== "reload" && !this.#again.delete(id)) return;
        if (departure !== "reload") continue;
        const pause = fullJitter(engine.runtime, failures++, { base: 5, cap: 1000 });
        await sleep(engine.runtime, pause, { signal: this.#end.signal, ref: false }).catch(() => {});
      }
    } finally {
      room.leave();
      this.#runs.delete(id);
      this.#offered.delete(id);
      this.#parts.endings.leave(id, undefined);
      // What came at the last moment.
      if (this.#again.delete(id) && !this.#stopping) this.#rouse(id);
    }
  }

  async #carry(
    id: string,
    fresh: { readonly record: RunRecord; readonly version: Version } | undefined,
  ): Promise<Departure> {
    this.#again.delete(id);
    const { workflows } = this.#parts;
    const loaded = fresh
      ? { id, ...fresh, history: [], messages: new Map<string, Message>(), fresh: true }
      : await this.#load(id);
    if (typeof loaded === "string") return loaded;
    const workflow = workflows.get(loaded.record.workflow);
    if (!workflow) return this.#unknown(id);
    if (this.#stopping) return "reload";
    const execution = new Execution(this.#host, workflow, loaded);
    this.#runs.set(id, execution);
    if (this.#again.has(id)) execution.poke();
    this.#tellRun(channels.loaded, loaded.record, id);
    this.#parts.endings.enter(id);
    const departure = await execution.live();
    this.#parts.endings.leave(id, execution.record);
    this.#runs.set(id, undefined);
    this.#tellRun(channels.left, loaded.record, id, departure);
    return departure;
  }

  /** Or what became of one that does not want an owner. */
  async #load(id: string): Promise<Loaded | Departure> {
    const { kv } = this.#parts.engine;
    const entry = await kv.get<RunRecord>(keys.run(id));
    if (entry?.value.status !== "open") return await this.#dismiss(id, entry);
    const { value: record, version } = entry;
    const history: Completion[] = [];
    for await (const { value } of kv.list<Completion>({ prefix: ["history", id, generationOf(record)] }))
      history.push(value);
    const messages = new Map<string, Message>();
    for await (const { key, value } of kv.list<Message>({ prefix: ["signal", id] }))
      messages.set(key[2] as string, value);
    return { id, record, version, history, messages, fresh: false };
  }

  /** It has ended, maybe from outside, or is held up; unless that has changed since. */
  async #dismiss(id: string, entry: Entry<RunRecord> | undefined): Promise<Departure> {
    const { engine, settings, shardOf, now } = this.#parts;
    const { shard } = this.#owned;
    const guard = this.#host.guard;
    // Whoever ended it from outside has left the rest to its owner.
    if (entry?.value.status === "terminated") await closeChildren({ engine, shardOf, now, guard }, id);
    await using open = engine.begin();
    const { tx } = open;
    guard(tx);
    tx.check({ key: keys.run(id), version: entry?.version });
    tx.delete(keys.active(shard, id));
    if (entry?.value.ended !== undefined) tx.set(keys.ended(shard, entry.value.ended + settings.retention, id), true);
    return (await open.commit()) ? "ended" : "reload";
  }

  /** Of a workflow that this program does not know: the next owner may. */
  #unknown(id: string): Departure {
    this.#parts.engine.runtime.timers.after(unknownAgainMs, () => this.#rouse(id), { ref: false });
    return "parked";
  }

  async #retryStuck(): Promise<void> {
    const { engine } = this.#parts;
    const { shard } = this.#owned;
    for await (const { key } of engine.kv.list({ prefix: ["stuck", shard] })) {
      const id = key[2] as string;
      await engine.transact(
        async (tx) => {
          const record = await tx.get<RunRecord>(keys.run(id));
          tx.delete(keys.stuck(shard, id));
          if (record?.status === "stuck") reopen(tx, shard, id, record);
        },
        { fence: this.#owned, signal: this.#end.signal },
      );
    }
  }

  /** A run has been parked until then; `-Infinity`: nobody knows who has. */
  #expect(due: number | undefined): void {
    if (due === undefined || due >= this.#due || this.#stopping) return;
    this.#arming = (this.#arming ?? Promise.resolve())
      .then(() => patiently(this.#parts.engine, () => this.#awaken(), this.#end.signal))
      .catch((error) => {
        if (!this.#end.signal.aborted) this.#tellTrouble(error);
      });
  }

  /** Makes active whose time has come, and waits for the next. */
  async #awaken(): Promise<void> {
    const { engine, now } = this.#parts;
    const { shard } = this.#owned;
    this.#timer?.cancel();
    this.#due = Number.POSITIVE_INFINITY;
    for (;;) {
      if (this.#stopping) return;
      const at = await now();
      // Two operations each.
      const limit = Math.min(page, Math.floor((engine.limits.operations - 10) / 2));
      const timers = await Array.fromAsync(engine.kv.list({ prefix: ["timer", shard] }, { limit }));
      const due = timers.filter(({ key }) => (key[2] as number) <= at);
      if (due.length > 0) {
        await using open = engine.begin();
        this.#owned.guard(open.tx);
        for (const { key } of due) {
          open.tx.delete(key);
          open.tx.set(keys.active(shard, key[3] as string), true);
        }
        await open.commit();
        continue;
      }
      const next = timers[0]?.key[2] as number | undefined;
      if (next === undefined) return;
      this.#due = next;
      this.#timer = engine.runtime.timers.after(
        Math.max(1, next - at),
        () => {
          this.#due = Number.POSITIVE_INFINITY;
          this.#expect(Number.NEGATIVE_INFINITY);
        },
        { ref: false },
      );
      return;
    }
  }

  #tellRun(channel: typeof channels.loaded, record: RunRecord, id: string, departure?: Departure): void {
    if (!channel.hasSubscribers) return;
    const { name } = this.#parts.settings;
    const { workflow } = record;
    channel.publish({ name, id, workflow, ...(departure && { departure }) } satisfies channels.RunMessage);
  }

  #tellTrouble(error: unknown): void {
    if (channels.trouble.hasSubscribers)
      channels.trouble.publish({ name: this.#parts.settings.name, error } satisfies channels.TroubleMessage);
  }
}

/** A run that was stuck is open again. */
export function reopen(
  tx: { set(key: Key, value: unknown): void },
  shard: number,
  id: string,
  { error: _, ...record }: RunRecord,
): void {
  tx.set(keys.run(id), { ...record, status: "open" } satisfies RunRecord);
  tx.set(keys.active(shard, id), true);
}
