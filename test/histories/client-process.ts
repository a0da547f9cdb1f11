import { type ListStep, type Recorder, recordKv, recordLists } from "../../src/check/index.ts";
import type { Key } from "../../src/index.ts";
import { connect, isAshlarError } from "../../src/index.ts";

/** What the parent asks for. */
export type Request =
  | { readonly id: number; readonly do: "get" | "delete"; readonly key: Key }
  | { readonly id: number; readonly do: "set"; readonly key: Key; readonly value: unknown }
  | { readonly id: number; readonly do: "add"; readonly key: Key; readonly delta: number }
  | { readonly id: number; readonly do: "cas"; readonly key: Key; readonly expected: unknown; readonly value: unknown }
  | { readonly id: number; readonly do: "transact"; readonly steps: readonly ListStep[] };

/** What it is told. */
export type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string; readonly definite: boolean };

// The parent records: it alone sees the calls and returns of all clients in one order.
const unrecorded: Recorder = { record: async (_, run) => await run(), history: () => [] };
const engine = await connect(process.argv[2] as string);
const options = { recorder: unrecorded, client: "" };
const kv = recordKv(engine, options);
const layout = (list: string) => (list.startsWith("range") ? "range" : "array");
const lists = recordLists(engine, { ...options, layout });

process.on("message", (request: Request) => {
  perform(request).then(
    (result) => answer({ id: request.id, result: result ?? null }),
    (error: Error) => {
      answer({ id: request.id, error: error.message, definite: isAshlarError(error) && error.definite });
    },
  );
});
// The parent is gone.
process.on("disconnect", () => process.exit());
answer({ id: 0, result: "ready" });

function answer(message: Answer): void {
  process.send?.(message);
}

function perform(request: Request): Promise<unknown> {
  switch (request.do) {
    case "get":
      return kv.get(request.key);
    case "delete":
      return kv.delete(request.key);
    case "set":
      return kv.set(request.key, request.value);
    case "add":
      return kv.add(request.key, request.delta);
    case "cas":
      return kv.cas(request.key, request.expected, request.value);
    case "transact":
      return lists(request.steps);
  }
}
