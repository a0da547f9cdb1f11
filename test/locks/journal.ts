import { fromEvents, type HistoryEvent, type Operation } from "../../src/check/index.ts";
import { isAshlarError } from "../../src/index.ts";

/** Two histories of one run: of locks, for the model of a mutex with fencing tokens, and of transactions over lists. */
export class Journal {
  readonly #locks: HistoryEvent[] = [];
  readonly #transactions: HistoryEvent[] = [];
  #operations = 0;

  get locks(): Operation[] {
    return fromEvents(this.#locks);
  }

  get transactions(): Operation[] {
    return fromEvents(this.#transactions);
  }

  /** Records what becomes of an operation on locks: one entry for each name, with what `input` and `output` say of it. */
  async lock<T>(
    call: {
      readonly client: string;
      readonly name: "acquire" | "release" | "check";
      readonly names: readonly string[];
    },
    run: () => Promise<T>,
    of: { readonly input?: (name: string) => unknown; readonly output: (result: T, name: string) => unknown },
  ): Promise<T> {
    const { client, name, names } = call;
    const ids = names.map((key) => {
      const id = this.#operations++;
      const input = of.input?.(key);
      this.#locks.push({
        event: "invoke",
        id,
        client: `${client} ${key}`,
        name,
        key,
        ...(input !== undefined && { input }),
      });
      return { id, key };
    });
    try {
      const result = await run();
      for (const { id, key } of ids) this.#locks.push({ event: "ok", id, output: of.output(result, key) });
      return result;
    } catch (error) {
      for (const { id } of ids) this.#locks.push({ event: outcomeOf(error), id });
      throw error;
    }
  }

  async transact<T>(client: string, input: unknown, run: () => Promise<T>): Promise<T> {
    const id = this.#operations++;
    this.#transactions.push({ event: "invoke", id, client, name: "transact", input });
    try {
      const output = await run();
      this.#transactions.push({ event: "ok", id, output });
      return output;
    } catch (error) {
      this.#transactions.push({ event: outcomeOf(error), id });
      throw error;
    }
  }

  /** A hold that was lost ended some time after it was granted: a release of unknown outcome, from there on. */
  lost(name: string, token: number): void {
    const granted = this.#locks.findIndex(
      (event, i) => event.event === "ok" && event.output === token && this.#callOf(event.id, i) === `acquire ${name}`,
    );
    const id = this.#operations++;
    this.#locks.splice(granted + 1, 0, {
      event: "invoke",
      id,
      client: `lease ${name} ${token}`,
      name: "release",
      key: name,
      input: token,
    });
  }

  #callOf(id: number, before: number): string | undefined {
    const call = this.#locks.slice(0, before).find((event) => event.event === "invoke" && event.id === id);
    return call?.event === "invoke" ? `${call.name} ${call.key}` : undefined;
  }
}

function outcomeOf(error: unknown): "failed" | "unknown" {
  return isAshlarError(error) && error.definite ? "failed" : "unknown";
}
