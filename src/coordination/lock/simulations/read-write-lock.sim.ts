import type { Scenario } from "../../../simulation/index.ts";
import { createReadWriteLock } from "../read-write-lock.ts";
import { holders } from "./holders.ts";

const all = 2 ** 20;

/** Readers and now and then a writer. */
export const readWriteLock: Scenario = holders({
  name: "read-write lock",
  resources: [{ kind: "read-write", name: "book", permits: all }],
  acquire: async ({ engine, runtime }) => {
    const book = createReadWriteLock(engine, "book", { ttl: "2s" });
    const timeout = runtime.random.next() < 0.2 ? 200 : "20s";
    const writes = runtime.random.next() < 0.3;
    const tries = runtime.random.next() < 0.2;
    const hold = writes
      ? await (tries ? book.tryWrite({ timeout }) : book.write({ timeout }))
      : await (tries ? book.tryRead({ timeout }) : book.read({ timeout }));
    return hold && { hold, shares: { book: writes ? all : 1 } };
  },
});
