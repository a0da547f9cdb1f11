import type { Connections } from "./connection.ts";
import type { Notifier } from "./notifier.ts";
import type { Statements } from "./statements.ts";

/** Removes what has expired, and now and then what nobody can ask for any more. */
export class Housekeeper {
  readonly #connections: Connections;
  readonly #statements: Statements;
  readonly #notifier: Notifier;
  #forgotten = Number.NEGATIVE_INFINITY;

  constructor(connections: Connections, statements: Statements, notifier: Notifier) {
    this.#connections = connections;
    this.#statements = statements;
    this.#notifier = notifier;
  }

  /** Deletes up to `limit` expired entries; resolves with their number. */
  async sweep(limit: number): Promise<number> {
    const [row] = await this.#connections.ask(this.#statements.expire, [Math.max(0, limit)]);
    const swept = Number(row?.[0]);
    // Sweeping is rare enough to hint without asking whether anybody listens.
    if (swept > 0) this.#notifier.hint(swept);
    await this.#forget();
    return swept;
  }

  async #forget(): Promise<void> {
    const now = this.#connections.runtime.clock.monotonic();
    if (now - this.#forgotten < forgetMs) return;
    this.#forgotten = now;
    await this.#connections.ask(this.#statements.forget, []);
  }
}

const forgetMs = 30_000;
