import type { Recorder } from "../check/index.ts";
import type { Engine } from "../engine/index.ts";
import { createEngine } from "../engine/index.ts";
import { createDice } from "./dice.ts";
import { EngineWay } from "./engine/engine-way.ts";
import type { EngineServer } from "./engine/server.ts";
import { createSimulatedDriver } from "./engine/simulated-driver.ts";
import type { EventLoop } from "./event-loop.ts";
import type { FaultPlan } from "./fault-plan.ts";
import { Incarnation } from "./incarnation.ts";
import type { LocalClock } from "./local-clock.ts";
import type { MachineDisk } from "./machine-disk.ts";
import type { Datagram, Fabric, Host, Network } from "./network/network.ts";
import type { Connection } from "./network/streams.ts";
import type { RarePaths } from "./rare-paths.ts";
import { createRecording } from "./recording.ts";
import type { SimulatedNode } from "./scenario.ts";
import type { Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

/** What all machines of a world share. */
export interface Surroundings {
  readonly seed: number;
  readonly loop: EventLoop;
  readonly trace: Trace;
  readonly plan: FaultPlan;
  readonly fabric: Fabric;
  readonly timeline: Timeline;
  readonly rarePaths: RarePaths;
  readonly server: { readonly machine: Incarnation; readonly engine: EngineServer };
  readonly serviceTime: readonly [shortest: number, mean: number];
  /** Runs code so that patched globals know whose it is. */
  readonly enter: (incarnation: Incarnation, run: () => void) => void;
  /** A process begins to live, with this network. */
  readonly born: (incarnation: Incarnation, network: Network) => void;
  readonly onError: (incarnation: Incarnation, error: unknown) => void;
  readonly peers: (role: string) => readonly string[];
  /** The scenario's own notes. */
  readonly state: Map<string, unknown>;
  readonly recorder: Recorder;
  /** The program on the machine ends by itself. */
  readonly exits: (machine: string, reason: string) => void;
}

export interface MachineParts {
  readonly name: string;
  readonly role: string;
  readonly index: number;
  readonly clock: LocalClock;
  readonly disk: MachineDisk;
}

/** A machine: what outlives the processes that run on it one after another. */
export class Machine implements Host {
  readonly name: string;
  readonly role: string;
  readonly index: number;
  readonly clock: LocalClock;
  readonly disk: MachineDisk;
  readonly ports = new Map<number, (datagram: Datagram) => void>();
  readonly listeners = new Map<number, (connection: Connection) => void>();
  readonly #surroundings: Surroundings;
  #incarnation: Incarnation | undefined;
  #lives = 0;
  #powered = true;

  constructor({ name, role, index, clock, disk }: MachineParts, surroundings: Surroundings) {
    this.name = name;
    this.role = role;
    this.index = index;
    this.clock = clock;
    this.disk = disk;
    this.#surroundings = surroundings;
  }

  /** The process that runs, or `undefined`. */
  get incarnation(): Incarnation | undefined {
    return this.#incarnation;
  }

  get powered(): boolean {
    return this.#powered;
  }

  /** Begins a new life and gives what its program may use. */
  boot(): { readonly incarnation: Incarnation; readonly node: SimulatedNode } {
    const { seed, loop, trace, rarePaths, enter, onError } = this.#surroundings;
    const life = this.#lives++;
    this.#powered = true;
    const incarnation = new Incarnation({
      name: this.name,
      loop,
      trace,
      clock: this.clock,
      dice: createDice(seed, `program ${this.name} life ${life}`),
      maybe: (label) => rarePaths.take(label),
      enter,
      onError,
    });
    this.#incarnation = incarnation;
    return { incarnation, node: this.#createNode(incarnation, life) };
  }

  /** @param power false: only the process dies, and the kernel keeps what it wrote and answers for it */
  crash(power: boolean): void {
    this.#powered = !power;
    const dying = this.#incarnation;
    this.#incarnation = undefined;
    dying?.die();
    this.disk.crash(power);
  }

  #createNode(incarnation: Incarnation, life: number): SimulatedNode {
    const { fabric, timeline, peers, state, born, recorder: common, exits } = this.#surroundings;
    const recorder = createRecording({ recorder: common, timeline, machine: this.name });
    // Each life is a session of its own.
    const client = `${this.name}/${life}`;
    const network: Network = fabric.open(this, incarnation);
    born(incarnation, network);
    const machine = this;
    let engine: Engine | undefined;
    let disk: SimulatedNode["disk"] | undefined;
    return {
      name: this.name,
      role: this.role,
      index: this.index,
      incarnation: life,
      runtime: incarnation.runtime,
      network,
      get disk() {
        disk ??= machine.disk.mount(incarnation);
        return disk;
      },
      get engine() {
        engine ??= machine.#openEngine(incarnation);
        return engine;
      },
      peers,
      log: (text) => timeline.add(this.name, "log", text),
      state,
      recorder,
      record: (call, run) => recorder.record({ client, ...call }, run),
      exit: (reason) => {
        if (incarnation.alive) exits(this.name, reason);
      },
    };
  }

  #openEngine(incarnation: Incarnation): Engine {
    const { seed, plan, trace, fabric, server, serviceTime } = this.#surroundings;
    const way = new EngineWay({
      seed,
      machine: this.name,
      client: incarnation,
      server: server.machine,
      links: fabric.links,
      plan,
      trace,
      service: serviceTime,
    });
    const driver = createSimulatedDriver({
      driver: server.engine.open(),
      way,
      client: incarnation,
      watchReset: plan.site("watch-reset", this.name),
    });
    return createEngine(driver, { runtime: incarnation.runtime });
  }
}
