import { type Lease, type Leases, leasesOf, patiently } from "../../coordination/lease/index.ts";
import { isAshlarError, type Key } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type { Lane } from "./lane.ts";
import { LocalQueue, localName, type ProcessPart } from "./local.ts";
import type { QueueWorker } from "./worker.ts";

/**
 * What the queues of one open store share in this process: one look-out for the deaths of other processes, however many queues there are.
 *
 * Key layout, at the root: `["queue-worker", lease]` → true: a process whose claims carry this lease. It is written before the first claim, and removed by whoever
 * finds the lease gone. Who begins later looks at the claims that there are.
 */
export class QueueHub implements AsyncDisposable {
  readonly #root: Engine;
  readonly #leases: Leases;
  readonly #locals = new Map<string, LocalQueue<QueueWorker>>();
  /** Those with workers. */
  readonly #active = new Set<LocalQueue>();
  #claims = 0;
  readonly #announced = new Map<string, Promise<void>>();
  readonly #end = new AbortController();
  readonly #departing = new Set<string>();
  #looking = false;

  readonly #process: ProcessPart = {
    nextClaim: () => this.#claims++,
    active: (local, is) => {
      if (is) this.#active.add(local);
      else this.#active.delete(local);
    },
  };

  constructor(root: Engine) {
    this.#root = root;
    this.#leases = leasesOf(root);
  }

  /**
   * @param scope where the keys of the queue are
   * @param lane a queue's own is the same for all in this process who use the queue; others know each what they want of theirs
   */
  local(scope: Engine, lane: Lane): LocalQueue<QueueWorker> {
    if (!lane.own) return new LocalQueue<QueueWorker>(scope, this.#root, lane, this.#process);
    const id = localName(scope);
    let local = this.#locals.get(id);
    if (!local) {
      local = new LocalQueue<QueueWorker>(scope, this.#root, lane, this.#process);
      this.#locals.set(id, local);
    }
    return local;
  }

  /** Makes the lease known as one under which jobs are taken, and begins to look out for the others. */
  announce(lease: Lease): Promise<void> {
    this.#look();
    let known = this.#announced.get(lease.id);
    if (!known) {
      known = this.#write(lease);
      this.#announced.set(lease.id, known);
      known.catch(() => this.#announced.delete(lease.id));
      lease.signal.addEventListener("abort", () => this.#announced.delete(lease.id), { once: true });
    }
    return known;
  }

  /** Does what has to be done sooner or later, unless the store is closed first. */
  see(task: () => Promise<unknown>, failed: (error: unknown) => void): void {
    const { signal } = this.#end;
    patiently(this.#root, task, signal).catch((error) => {
      if (!signal.aborted) failed(error);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
  }

  async #write(lease: Lease): Promise<void> {
    await this.#root.kv.set(workerKey(lease.id), true);
  }

  #look(): void {
    if (this.#looking) return;
    this.#looking = true;
    const { signal } = this.#end;
    const watch = async (): Promise<void> => {
      for await (const changes of this.#root.kv.watch({ prefix: ["queue-worker"] }, { signal }))
        for (const { key, deleted } of changes) if (!deleted) this.#await(String(key[1]));
    };
    patiently(this.#root, watch, signal).catch((error) => {
      this.#looking = false;
      if (!signal.aborted && !isAshlarError(error, "CLOSED")) this.#look();
    });
  }

  /** One queue's trouble is not to keep the others' jobs. A worker that begins later looks again. */
  async #hand(heir: (lease: string) => Promise<void>, lease: string): Promise<void> {
    const { signal } = this.#end;
    await patiently(this.#root, () => heir(lease), signal).catch((error) => {
      if (signal.aborted) throw error;
    });
  }

  /** Takes over, once the lease is gone. */
  #await(lease: string): void {
    if (this.#departing.has(lease)) return;
    this.#departing.add(lease);
    const { signal } = this.#end;
    const inherit = async (): Promise<void> => {
      await patiently(this.#root, () => this.#leases.gone(lease, { signal }), signal);
      for (const local of [...this.#active]) for (const heir of [...local.heirs]) await this.#hand(heir, lease);
      await patiently(this.#root, () => this.#root.kv.delete(workerKey(lease)), signal);
      this.#departing.delete(lease);
    };
    inherit().catch(() => this.#departing.delete(lease));
  }
}

export function hubOf(engine: Engine): QueueHub {
  return engine.shared("queues", (root) => new QueueHub(root));
}

function workerKey(lease: string): Key {
  return ["queue-worker", lease];
}
