import type { Runtime } from "../../core/index.ts";
import type { Driver } from "../driver.ts";
import { createEngine } from "../engine.ts";
import { createMemoryDriver, MemoryStore, openMemory } from "../memory/index.ts";
import { createFaultyDriver } from "../testing/faulty-driver.ts";
import { seededRuntime } from "../testing/seeded.ts";
import { runConformance } from "./node-test.ts";

const scoped = new MemoryStore();
runConformance("a scope of an engine", {
  open: async () => openMemory({ store: scoped }).scope("tenant", 7),
});

const bare = new MemoryStore();
runConformance("an engine whose log and bus are kept in keys", {
  open: async () => {
    const { log: _, bus: __, ...driver } = createMemoryDriver(bare);
    return createEngine(driver);
  },
  openSeparate: async () => {
    const { log: _, bus: __, ...driver } = createMemoryDriver(new MemoryStore());
    return createEngine(driver);
  },
});

const far = new MemoryStore();
const runtime = seededRuntime(1);
runConformance("an engine that is slow, loses its place in the feed, and may lose answers", {
  open: async () => {
    // Answers are not lost here: a single commit would not tell its outcome. What `transact` does about it runs all the same.
    const faults = { refused: 0, answerLost: 0, late: 0, read: 0, reset: 0.2 };
    const { driver } = createFaultyDriver(createMemoryDriver(far), runtime, faults);
    return createEngine(distant(driver, runtime), { runtime });
  },
});

/** A driver whose calls take some turns of the event loop, on the way there and on the way back. */
function distant(driver: Driver, { random, timers }: Runtime): Driver {
  const turns = async (): Promise<void> => {
    for (let left = Math.floor(random.next() * 4); left > 0; left--) {
      await new Promise<void>((resolve) => void timers.immediate(resolve));
    }
  };
  const there = async <T>(call: () => T | Promise<T>): Promise<T> => {
    await turns();
    const answer = await call();
    await turns();
    return answer;
  };
  return {
    ...driver,
    flush: { commits: 8, bytes: 100_000, inFlight: 3, immediate: false },
    getMany: (...args) => there(() => driver.getMany(...args)),
    list: (...args) => there(() => driver.list(...args)),
    commitMany: (...args) => there(() => driver.commitMany(...args)),
    revision: () => there(() => driver.revision()),
    now: () => there(() => driver.now()),
  };
}
