import { isAshlarError, type Key, type Timer } from "../../core/index.ts";
import type { Engine, Entry as StoredEntry } from "../../engine/index.ts";
import type { Leases } from "../lease/index.ts";
import type { LockCommits } from "./commits.ts";
import type { Entry, Resource } from "./resource.ts";

/** How often somebody, of all processes one, looks for what dead processes left behind. */
const everyMs = 10 * 60 * 1000;

/**
 * Removes what stands in the store under leases that have ended and that nobody waits for: who waits removes what keeps it waiting by itself, so
 * this is about space only, and about permits of semaphores that look used.
 */
export class Sweep {
  readonly #root: Engine;
  readonly #leases: Leases;
  readonly #commits: LockCommits;
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(root: Engine, leases: Leases, commits: LockCommits) {
    this.#root = root;
    this.#leases = leases;
    this.#commits = commits;
    this.#later();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #later(): void {
    if (this.#closed) return;
    const delay = everyMs * (0.5 + this.#root.runtime.random.next());
    this.#timer = this.#root.runtime.timers.after(
      delay,
      () => {
        this.#running = this.#round()
          // The next round is as good.
          .catch(() => {})
          .finally(() => this.#later());
      },
      { ref: false },
    );
  }

  async #round(): Promise<void> {
    const { keys } = this.#commits;
    const mine = await this.#root.kv.tryCommit({
      checks: [{ key: keys.swept, version: undefined }],
      mutations: [{ set: keys.swept, value: true, ttl: everyMs / 2 }],
    });
    if (!mine.ok) return;
    const alive = new Map<string, boolean>();
    for (const kind of ["lock", "read-write", "semaphore"] as const) {
      for await (const entry of this.#root.kv.list<Entry>({ prefix: [...keys.base, kind] })) {
        if (this.#closed) return;
        await this.#look(kind, entry, alive).catch((error: unknown) => {
          if (!isAshlarError(error)) throw error;
        });
      }
    }
  }

  async #look(kind: Resource["kind"], entry: StoredEntry<Entry>, alive: Map<string, boolean>): Promise<void> {
    const [name, part] = entry.key.slice(this.#commits.keys.base.length + 1) as [string, Key[number]];
    if (part !== "held" && part !== "queue") return;
    const { lease } = entry.value;
    let lives = alive.get(lease);
    if (lives === undefined) {
      lives = await this.#leases.lives(lease);
      alive.set(lease, lives);
    }
    // How many permits there are does not matter to what is given back.
    if (!lives) await this.#commits.purge({ kind, name, permits: 0 }, entry, part === "held");
  }
}
