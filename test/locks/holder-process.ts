import { type ListStep, type Recorder, recordLists } from "../../src/check/index.ts";
import { createLocks, type Lock } from "../../src/coordination/lock/index.ts";
import { connect, isAshlarError } from "../../src/index.ts";

/** What the parent asks for. */
export type Request =
  | { readonly id: number; readonly do: "acquire"; readonly names: readonly string[] }
  | { readonly id: number; readonly do: "write"; readonly steps: readonly ListStep[] }
  /** A write that reads nothing, in a transaction that stays open until `commit`: nothing but the fence can refuse it. */
  | { readonly id: number; readonly do: "begin"; readonly texts: Readonly<Record<string, string>> }
  | { readonly id: number; readonly do: "commit" }
  | { readonly id: number; readonly do: "release" };

/** What it is told. */
export type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string; readonly code: string; readonly definite: boolean };

// The parent records: it alone sees the calls and returns of all processes in one order.
const recorder: Recorder = { record: async (_, run) => await run(), history: () => [] };
const [, , url, ttl] = process.argv as [string, string, string, string];
const engine = await connect(url);
const locks = createLocks(engine, { ttl: Number(ttl), owner: `process ${process.pid}` });
const write = recordLists(engine, { recorder, client: "" });
let lock: Lock | undefined;
let open: { readonly mayCommit: PromiseWithResolvers<void>; readonly done: Promise<void> } | undefined;

process.on("message", (request: Request) => {
  perform(request).then(
    (result) => answer({ id: request.id, result: result ?? null }),
    (error: Error) => {
      const [code, definite] = isAshlarError(error) ? [error.code, error.definite] : ["", false];
      answer({ id: request.id, error: error.message, code, definite });
    },
  );
});
// The parent is gone.
process.on("disconnect", () => process.exit());
answer({ id: 0, result: "ready" });

function answer(message: Answer): void {
  process.send?.(message);
}

async function perform(request: Request): Promise<unknown> {
  switch (request.do) {
    case "acquire":
      lock = await locks.acquire(request.names, { timeout: "1m" });
      return lock.tokens;
    case "write":
      if (!lock) throw new Error("nothing is held");
      return await write(request.steps, { fence: lock });
    case "begin":
      return await begin(request.texts);
    case "commit":
      open?.mayCommit.resolve();
      return await open?.done;
    case "release": {
      // Whether it was held until now.
      const held = lock?.held ?? false;
      await lock?.release();
      return held;
    }
  }
}

/** Resolves when all is written but the commit. */
async function begin(texts: Readonly<Record<string, string>>): Promise<void> {
  if (!lock) throw new Error("nothing is held");
  const [begun, mayCommit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const done = engine.transact(
    async (tx) => {
      for (const [name, text] of Object.entries(texts)) tx.set(["last", name], text);
      begun.resolve();
      await mayCommit.promise;
    },
    { fence: lock, deadline: "30s" },
  );
  open = { mayCommit, done };
  await Promise.race([begun.promise, done]);
}
