import type { Engine } from "../../engine/index.ts";
import { Admin } from "./admin.ts";
import type { Handler, QueueOptions, Worker, WorkOptions } from "./contract.ts";
import { hubOf } from "./hub.ts";
import type { Lane } from "./lane.ts";
import { type Head, keys } from "./layout.ts";
import type { LocalQueue } from "./local.ts";
import { firstSince } from "./locate.ts";
import { toSettings, toWorkSettings } from "./options.ts";
import type { Desk } from "./outcome.ts";
import { QueueWorker } from "./worker.ts";

/**
 * The consuming half of a queue over a topic of the log that is somebody else's: every consumer has its own position, claims, retries and dead letters, and takes
 * nothing from the others. For blocks such as topics.
 */
export class LaneConsumer<T> {
  readonly admin: Admin<T>;
  readonly #user: Engine;
  readonly #local: LocalQueue<QueueWorker>;
  readonly #desk: Desk;

  /**
   * @param user whose transactions handlers get
   * @param scope where the consumer keeps its keys
   */
  constructor(user: Engine, scope: Engine, lane: Lane, name: string, options: QueueOptions<never>) {
    this.#user = user;
    this.#local = hubOf(user).local(scope, lane);
    const settings = toSettings(user, options);
    this.#desk = { name, settings, scopeOf: () => scope };
    this.admin = new Admin<T>(this.#local, this.#desk);
  }

  work<R>(handler: Handler<T, R>, options: WorkOptions): Worker {
    return new QueueWorker({
      user: this.#user,
      local: this.#local,
      hub: hubOf(this.#user),
      desk: this.#desk,
      handler: handler as Handler<unknown>,
      settings: toWorkSettings(options),
    });
  }

  /** Where it stands: the first offset that was not taken; `undefined`: nowhere yet. */
  async position(): Promise<number | undefined> {
    return (await this.#local.engine.kv.get<Head>(keys.head))?.value.at;
  }

  /** Sets the position of one that has none. Returns the position that it has. */
  async begin(at: number): Promise<number> {
    const head: Head = { at, skips: 0 };
    const { engine } = this.#local;
    const outcome = await engine.kv.tryCommit({
      checks: [{ key: keys.head, version: undefined }],
      mutations: [{ set: keys.head, value: head }],
    });
    return outcome.ok ? at : ((await this.position()) ?? at);
  }

  /** Goes on from there, forwards or back. What was taken before is not taken back. */
  async seek(at: number): Promise<void> {
    await this.#local.engine.transact(async (tx) => {
      await tx.get(keys.head);
      tx.set(keys.head, { at, skips: 0 } satisfies Head);
      tx.set(keys.bell, 0);
    });
    this.#local.ring();
  }

  /** The offset of the first record of that time (the engine's clock) or later. */
  async offsetAt(time: number): Promise<number> {
    const { lane } = this.#local;
    const { first, next } = await lane.engine.log.bounds(lane.topic);
    return await firstSince(lane, first, next, time);
  }
}
