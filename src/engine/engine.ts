import { encodeKey, InvalidArgumentError, type Key, type Runtime, raceAbort, systemRuntime } from "../core/index.ts";
import type {
  BeginOptions,
  Blobs,
  Bus,
  Engine,
  Guarantees,
  Kv,
  Limits,
  Log,
  OpenTransaction,
  Transaction,
  TransactOptions,
} from "./contract.ts";
import type { Driver, SqlSession } from "./driver.ts";
import type { Space } from "./encode-batch.ts";
import { createKv } from "./kv.ts";
import { type BlobStore, createBlobStore } from "./layers/blobs.ts";
import { createBus } from "./layers/bus.ts";
import { BusHub } from "./layers/bus-hub.ts";
import { busOverKeys } from "./layers/bus-over-keys.ts";
import { EngineClock } from "./layers/engine-clock.ts";
import { createLog } from "./layers/log.ts";
import { logOverKeys } from "./layers/log-over-keys.ts";
import { systemSpace } from "./namespaces.ts";
import { createRoot, type Root } from "./root.ts";
import { attemptOf, createTransactionView } from "./transaction-view.ts";

export interface EngineOptions {
  /** Clock, chance and timers. Default: the system's. */
  readonly runtime?: Runtime;
}

/** The whole contract over a driver: what the driver does not do itself, shared layers do. */
export function createEngine(driver: Driver, options: EngineOptions = {}): Engine {
  const runtime = options.runtime ?? systemRuntime;
  const complete = driver.log ? driver : logOverKeys(driver, runtime);
  const root = createRoot(complete, runtime);
  const { limits } = complete;
  const system = (part: string) => createKv(root, { prefix: systemSpace(part), limits }, part);
  const messages = complete.bus ?? busOverKeys(system("bus"), runtime);
  const hub = new BusHub(messages);
  root.onClose(() => hub.close());
  const bus = (prefix: Uint8Array) => createBus({ hub, prefix, limits, assertOpen: root.assertOpen });
  const blobs = createBlobStore({ kv: system("blob"), limits, runtime, clock: new EngineClock(complete, runtime) });
  return new EngineFace({ root, blobs, bus }, []);
}

/**
 * Runs `fn` with a transaction whose writes join an SQL transaction that the caller has begun and will commit.
 * For drivers that accept the user's own connection.
 */
export function transactInSession<T>(
  engine: Engine,
  session: (driver: Driver) => SqlSession,
  fn: (tx: Transaction) => T | Promise<T>,
  signal: AbortSignal = new AbortController().signal,
): Promise<T> {
  const face = faceOf(engine);
  const { root } = face.store;
  root.assertOpen();
  return root.transactor.transactIn(face.space, session(root.driver), fn, signal);
}

interface OpenStore {
  readonly root: Root;
  readonly blobs: BlobStore;
  readonly bus: (prefix: Uint8Array) => Bus;
}

class EngineFace implements Engine {
  readonly store: OpenStore;
  readonly space: Space;
  readonly namespace: Key;
  readonly kv: Kv;
  readonly log: Log;
  readonly blob: Blobs;
  readonly bus: Bus;
  readonly #lane: string;

  constructor(store: OpenStore, namespace: Key) {
    const { root } = store;
    const { limits } = root.driver;
    this.store = store;
    this.namespace = namespace;
    this.space = { prefix: namespace.length === 0 ? new Uint8Array(0) : encodeKey(namespace), limits };
    this.#lane = String(namespace[0] ?? "");
    this.kv = createKv(root, this.space, this.#lane);
    this.log = createLog({ root, space: this.space, kv: this.kv });
    this.blob = store.blobs.under(namespace);
    this.bus = store.bus(this.space.prefix);
  }

  get name(): string {
    return this.store.root.driver.name;
  }

  get guarantees(): Guarantees {
    return this.store.root.driver.guarantees;
  }

  get limits(): Limits {
    return this.store.root.driver.limits;
  }

  get runtime(): Runtime {
    return this.store.root.runtime;
  }

  async transact<T>(fn: (tx: Transaction) => T | Promise<T>, options: TransactOptions = {}): Promise<T> {
    this.store.root.assertOpen();
    if (typeof fn !== "function")
      throw new InvalidArgumentError("transact: the first argument must be a function of the transaction");
    return this.store.root.transactor.transact(this.space, this.#lane, fn, options);
  }

  begin(options: BeginOptions = {}): OpenTransaction {
    this.store.root.assertOpen();
    return this.store.root.transactor.begin(this.space, this.#lane, options);
  }

  join(tx: Transaction): Transaction {
    const attempt = attemptOf(tx);
    if (!attempt.belongsTo(this.store.root.driver)) {
      throw new InvalidArgumentError(
        "tx: this transaction belongs to another engine; what is to commit together must be on one engine",
      );
    }
    return createTransactionView(attempt, this.space, tx.signal, tx.attempt);
  }

  scope(...parts: Key): Engine {
    return new EngineFace(this.store, [...this.namespace, ...parts]);
  }

  shared<T extends AsyncDisposable>(name: string, create: (root: Engine) => T): T {
    const { root } = this.store;
    root.assertOpen();
    const found = root.shared.get(name);
    if (found !== undefined) return found as T;
    const made = create(this.namespace.length === 0 ? this : new EngineFace(this.store, []));
    root.shared.set(name, made);
    return made;
  }

  async now(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    this.store.root.assertOpen();
    return await raceAbort(this.store.root.driver.now(), options.signal);
  }

  async close(): Promise<void> {
    if (this.namespace.length === 0) await this.store.root.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function faceOf(engine: Engine): EngineFace {
  if (engine instanceof EngineFace) return engine;
  throw new InvalidArgumentError("engine: not an engine made by connect or one of the open functions");
}
