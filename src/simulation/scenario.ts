import type { Call, Checker, History, Recorder } from "../check/index.ts";
import type { Duration, Runtime } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import type { VirtualFs } from "./disk/virtual-fs.ts";
import type { CreateEngineServer } from "./engine/server.ts";
import type { FaultGroup, FaultKind, FaultMenu } from "./faults.ts";
import type { Network } from "./network/network.ts";

/** What is simulated: a system, what its clients do, what goes wrong, and what must hold. */
export interface Scenario {
  /** For reports. Default: "scenario". */
  readonly name?: string;
  /**
   * `injected` (default): code under simulation takes time, chance, network and disk from its node. `patched`: it uses the globals and `node:http`, `fetch`, `node:net`,
   * which are patched, in a process of its own for each seed: run it with `ashlar simulate` or `simulatePatched`.
   */
  readonly mode?: "injected" | "patched";
  /** The machines by role: what runs on each, and how many there are. They are called `role-0`, `role-1` … Default: none, clients use the engine. */
  readonly nodes?: Readonly<Record<string, NodeSpec>>;
  /** The store that every node and client may open (`node.engine`). Default: the memory engine's. */
  readonly engine?: CreateEngineServer;
  /** What may go wrong; each seed draws from it. Default "all". */
  readonly faults?: FaultMenu;
  /** Strengths that are not to be drawn, by kind (see `faultTable` for their units); 0: never. */
  readonly strengths?: Readonly<Partial<Record<FaultKind, number>>>;
  readonly network?: {
    /** Shortest and mean milliseconds of a message between two machines. Default [0.2, 1.5]. */
    readonly latency?: readonly [shortest: number, mean: number];
  };
  readonly workload: Workload;
  /**
   * What must hold at all times: called after every operation of a client, several times a second besides, and at the end; throws if it does not. It sees the store through `world.engine`, which
   * answers at once.
   */
  readonly invariants?: Readonly<Record<string, (world: World) => void | Promise<void>>>;
  /**
   * What must hold in the end, some time after the faults are over: asked again and again until it says true, or the time for healing is up. What it
   * throws says why it does not hold yet.
   */
  readonly eventually?: Readonly<Record<string, (world: World) => boolean | Promise<boolean>>>;
  /** Judge the history of all operations that the clients recorded. */
  readonly checks?: readonly Checker[];
  readonly budget?: Budget;
  /** Which node is the leader now, for the fault `isolate`. Default: chosen by chance. */
  readonly leader?: (world: World) => string | undefined;
  /** Whether an error says that a recorded operation surely did not happen. Default: whether it is a definite Ashlar error. */
  readonly isDefinite?: (error: unknown) => boolean;
  /**
   * An error that nobody catches, in a node: `fail` (default) the run, or `crash` the process as Node does and go on. Mistakes of the program (`TypeError`,
   * `AssertionError` …) always fail the run.
   */
  readonly uncaught?: "fail" | "crash";
}

export interface NodeSpec {
  /** How many machines of this role. Default 1. */
  readonly count?: number;
  /** Kinds of faults, or groups, that do not befall these machines: crashes of a stand-in that keeps its state in memory. Only of the groups process, clock and disk. */
  readonly spare?: readonly (FaultKind | FaultGroup)[];
  /**
   * Starts the program on a machine, at the beginning and after each crash. What it returns, if anything, is disposed of at
   * the end of the run.
   */
  start(node: SimulatedNode): MaybeDisposable | Promise<MaybeDisposable>;
}

// biome-ignore lint/suspicious/noConfusingVoidType: a start function that returns nothing
export type MaybeDisposable = AsyncDisposable | Disposable | void | undefined;

/** A machine as the program that runs on it sees it: one life of one process. */
export interface SimulatedNode {
  /** Unique, and its address on the network. */
  readonly name: string;
  readonly role: string;
  readonly index: number;
  /** How often the process has been started before: 0 at first. */
  readonly incarnation: number;
  readonly runtime: Runtime;
  readonly network: Network;
  /** The machine's disk, as `node:fs/promises` gives it. It outlives the process. */
  readonly disk: VirtualFs;
  /** The shared store over this machine's connection, opened on first use. */
  readonly engine: Engine;
  /** The names of the machines of a role, this one included. */
  peers(role: string): readonly string[];
  /** Puts a line into the timeline. */
  log(text: string): void;
  /** What the scenario notes down for its invariants, the same map everywhere. The programs under test must not read it. */
  readonly state: Map<string, unknown>;
  /**
   * Does something and records it for the checks: the call before, the answer after. An error says that it failed if it is definite, else that its
   * outcome is unknown; it is thrown on. What `run` resolves with is the output, and must be JSON. A crash leaves the outcome unknown.
   */
  record<T>(call: RecordedCall, run: () => T | Promise<T>): Promise<T>;
  /** What `record` writes to, for wrappers such as `recordKv(engine, { recorder, client: name })`. */
  readonly recorder: Recorder;
  /** Ends the process at once, as `process.exit` does. It is started again, as after a crash. */
  exit(reason: string): void;
}

/** What the clients do. Each client has a machine of its own, which does not crash. */
export interface Workload {
  /** How many clients. Default 3. */
  readonly clients?: number;
  /** Operations of each client. Default 20. */
  readonly operations?: number;
  /**
   * Milliseconds between two operations of a client: the mean of an exponential distribution. Default 50. Faults last only while clients work: with more
   * time to think, a run meets more of the faults that come in spells.
   */
  readonly think?: number;
  /** Before everything else and without faults: the state to begin with. */
  setup?(world: World): void | Promise<void>;
  /**
   * One operation. An error that a client would meet in a bad world (unavailable, refused, timed out …) is counted and the client goes on; an `AssertionError`
   * or another programming error ends the run.
   */
  operation(client: SimulatedClient): void | Promise<void>;
}

/** A client of the system: a machine that calls it and records what it is told. */
export interface SimulatedClient extends Omit<SimulatedNode, "incarnation" | "disk" | "exit"> {
  /** The number of the operation, from 0. */
  readonly operation: number;
}

export type RecordedCall = Omit<Call, "client">;

/** The world from outside, for invariants and set-up. */
export interface World {
  readonly seed: number;
  /** Milliseconds since the beginning. */
  readonly now: number;
  /** The store without distance and faults. */
  readonly engine: Engine;
  /** The names of the machines of a role that run now. */
  running(role?: string): readonly string[];
  /** What has been recorded so far. */
  readonly history: History;
  /** What nodes and clients have noted down, such as what they were told. */
  readonly state: Map<string, unknown>;
}

export interface Budget {
  /** Events at most; a run that needs more fails. Default 2,000,000. */
  readonly events?: number;
  /** Virtual time in which things go wrong. Default "30s"; shorter if the clients are done before. */
  readonly faults?: Duration;
  /**
   * Virtual time that passes after the faults before anything is judged, so that what was held up comes through: the late write of a process that was
   * paused. Default "2s".
   */
  readonly settle?: Duration;
  /** Virtual time after the faults in which everything must come to an end: the operations, the restarts, what is to hold eventually. Default "60s". */
  readonly heal?: Duration;
}

/** What shrinking has left of a run: less than all that the seed would do. */
export interface Reduction {
  /** The ids of the faults that may strike. Default: all. */
  readonly faults?: readonly string[];
  /** Machines by role, instead of the scenario's. */
  readonly nodes?: Readonly<Record<string, number>>;
  readonly clients?: number;
  /** Operations of each client. */
  readonly operations?: number;
}
