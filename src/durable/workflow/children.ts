import { createHash } from "node:crypto";
import { patiently } from "../../coordination/lease/index.ts";
import { InvalidStateError, isAshlarError, validate } from "../../core/index.ts";
import type { Engine, Transaction } from "../../engine/index.ts";
import type { Child, ChildCommand, Work } from "./commands.ts";
import { writeTermination } from "./endings.ts";
import { type StoredError, toStored } from "./errors.ts";
import type { Host } from "./host.ts";
import { type ChildRecord, cancelName, isOver, keys, type ParentLink, type RunRecord } from "./layout.ts";
import { assertFits } from "./sizes.ts";

/** The same whenever the parent asks. */
function childIdOf({ id, generation, seq }: ParentLink): string {
  const name = `${id}/${generation > 0 ? `${generation}.` : ""}${seq}`;
  return name.length <= 200 ? name : createHash("sha256").update(name).digest("hex");
}

export interface ChildrenParts {
  readonly host: Host;
  readonly id: string;
  readonly generation: number;
  /** Makes a commit hold only for the run's owner. */
  readonly guard: (tx: Transaction) => void;
  readonly failed: (command: ChildCommand, error: StoredError) => void;
  /** It cannot be begun as things are. */
  readonly lost: (error: unknown) => void;
  /** One has been begun, or could not be. */
  readonly ended: () => void;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

/** Begins the children of a run. Their ends come as messages. */
export class Children {
  readonly #parts: ChildrenParts;
  #running = 0;
  #any = false;

  constructor(parts: ChildrenParts) {
    this.#parts = parts;
  }

  /** On their way into the store. */
  get running(): number {
    return this.#running;
  }

  /** Whether the run has had children, so that there may be some. */
  get any(): boolean {
    return this.#any;
  }

  /** The code asks for one, now or in a replay. */
  expect(child: Child, seq: number): Work {
    this.#any = true;
    const { id, generation } = this.#parts;
    return { child: { ...child, id: child.id || childIdOf({ id, generation, seq }) } };
  }

  begin(command: ChildCommand): void {
    this.#running++;
    this.#begin(command)
      .catch((error) => {
        if (!this.#parts.signal.aborted) this.#parts.lost(error);
      })
      .finally(() => {
        this.#running--;
        this.#parts.ended();
      });
  }

  async #begin(command: ChildCommand): Promise<void> {
    const { host, signal } = this.#parts;
    const { workflow, input } = command.work.child;
    let checked: unknown;
    try {
      checked = workflow.input ? await validate(workflow.input, input, "input") : input;
      assertFits(host.engine, checked, "input");
    } catch (error) {
      this.#parts.failed(command, toStored(error));
      return;
    }
    const isTaken = await patiently(host.engine, () => this.#write(command, checked), signal);
    if (isTaken)
      this.#parts.failed(command, toStored(new InvalidStateError("there is a run of this id, which is not its child")));
  }

  /** Once: that it was begun is known until its end is recorded, even if it is forgotten itself. True: the id is in use. */
  async #write({ seq, work }: ChildCommand, input: unknown): Promise<boolean> {
    const { host, id, generation, guard, signal } = this.#parts;
    const { child } = work;
    const started = await host.now();
    return await host.engine.transact(
      async (tx) => {
        guard(tx);
        if ((await tx.get(keys.child(id, child.id))) !== undefined) return false;
        if ((await tx.get(keys.run(child.id))) !== undefined) return true;
        const parent: ParentLink = { id, generation, seq };
        const begun = { workflow: child.workflow.name, started, status: "open", parent } as const;
        const record: RunRecord = input === undefined ? begun : { ...begun, input };
        tx.set(keys.run(child.id), record);
        tx.set(keys.active(host.shardOf(child.id), child.id), true);
        tx.set(keys.child(id, child.id), { onParentEnd: child.onParentEnd } satisfies ChildRecord);
        return false;
      },
      { signal },
    );
  }
}

export interface Closing {
  readonly engine: Engine;
  readonly shardOf: (id: string) => number;
  readonly now: () => Promise<number>;
  /** Makes each commit hold only for whoever may. */
  readonly guard: (tx: Transaction) => void;
}

/** Deals with the children of a run that ends, or goes on anew, as each was begun to be dealt with. May be done again. */
export async function closeChildren({ engine, shardOf, now, guard }: Closing, id: string): Promise<void> {
  for await (const { key, value } of engine.kv.list<ChildRecord>({ prefix: ["child", id] })) {
    const child = key[2] as string;
    const at = await now();
    await engine.transact(async (tx) => {
      guard(tx);
      const record = await tx.get<RunRecord>(keys.run(child));
      tx.delete(key);
      if (record === undefined || isOver(record) || value.onParentEnd === "abandon") return;
      const reason = "the run that began it has ended";
      if (value.onParentEnd === "terminate") await writeTermination(tx, shardOf, child, record, reason, at);
      else {
        tx.set(keys.message(child, "parent"), { name: cancelName, payload: reason });
        if (record.status === "open") tx.set(keys.active(shardOf(child), child), true);
      }
    });
  }
}

/** Whether what a child gave, or a message says, could not be written. */
export function cannotBeKept(error: unknown): boolean {
  return isAshlarError(error, "LIMIT") || isAshlarError(error, "INVALID_ARGUMENT");
}
