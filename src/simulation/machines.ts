import { createDice } from "./dice.ts";
import { isTrouble } from "./expected-errors.ts";
import { type FaultKind, faultTable } from "./faults.ts";
import type { Incarnation } from "./incarnation.ts";
import { LocalClock } from "./local-clock.ts";
import { Machine, type Surroundings } from "./machine.ts";
import { createMachineDisk } from "./machine-disk.ts";
import type { Victims } from "./nemesis.ts";
import type { Failure } from "./result.ts";
import type { MaybeDisposable, SimulatedNode } from "./scenario.ts";
import type { SizedScenario } from "./sized-scenario.ts";

export interface MachinesOptions {
  readonly scenario: SizedScenario;
  readonly surroundings: Surroundings;
  /** Whose events the supervision's are. */
  readonly world: Incarnation;
  readonly fail: (failure: Omit<Failure, "at" | "operations">) => void;
}

interface Supervised {
  readonly machine: Machine;
  readonly start: (node: SimulatedNode) => MaybeDisposable | Promise<MaybeDisposable>;
  readonly isSpared: (kind: FaultKind) => boolean;
  state: "down" | "starting" | "running";
  disposable: MaybeDisposable;
}

/** The machines that run the scenario's programs, and the supervision that starts a program again when it has died. */
export class Machines {
  readonly #options: MachinesOptions;
  readonly #supervised = new Map<string, Supervised>();
  readonly #byRole = new Map<string, string[]>();
  readonly #waiters: (() => void)[] = [];
  #stopping: string[] = [];

  constructor(options: MachinesOptions) {
    this.#options = options;
    const { scenario, surroundings } = options;
    for (const [role, spec] of Object.entries(scenario.nodes ?? {})) {
      const names: string[] = [];
      for (let index = 0; index < (scenario.size.nodes[role] ?? 0); index++) {
        const name = `${role}-${index}`;
        names.push(name);
        const spared = new Set<string>(spec.spare);
        const isSpared = (kind: FaultKind) => spared.has(kind) || spared.has(faultTable[kind].group);
        const machine = createMachine({ name, role, index, isSpared }, surroundings);
        surroundings.fabric.add(machine);
        this.#supervised.set(name, {
          machine,
          start: (node) => spec.start(node),
          isSpared,
          state: "down",
          disposable: undefined,
        });
      }
      this.#byRole.set(role, names);
    }
  }

  namesOf(role: string): readonly string[] {
    return this.#byRole.get(role) ?? [];
  }

  running(role?: string): string[] {
    return [...this.#supervised.values()]
      .filter(({ machine, state }) => state === "running" && (role === undefined || machine.role === role))
      .map(({ machine }) => machine.name);
  }

  get notStarted(): string[] {
    return [...this.#supervised.values()]
      .filter(({ state }) => state !== "running")
      .map(({ machine, state }) => `${machine.name} is ${state}`);
  }

  get notStopped(): string[] {
    return this.#stopping.map((name) => `${name} does not stop`);
  }

  /** Starts all programs; resolves once they run. */
  start(): Promise<void> {
    for (const name of this.#supervised.keys()) this.#boot(name);
    return this.allRunning();
  }

  /** Resolves once every program has started. */
  allRunning(): Promise<void> {
    if (this.notStarted.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** Draws what is wrong with the machines' clocks. */
  disturbClocks(): void {
    const { plan, timeline } = this.#options.surroundings;
    for (const { machine, isSpared } of this.#supervised.values()) {
      const site = plan.site("offset", machine.name);
      if (isSpared("offset") || !site.strikes()) continue;
      const offset = Math.round(site.dice.between(-1, 1) * 10 ** site.dice.between(1, 5));
      machine.clock.jump(offset);
      timeline.add(machine.name, "fault", `wall clock is ${offset} ms off`);
    }
  }

  /** Nothing harms the machines any more; those that are down start. */
  heal(): void {
    for (const [name, { machine, state }] of this.#supervised) {
      machine.incarnation?.resume();
      machine.disk.setFull(false);
      if (state === "down") this.#boot(name);
    }
  }

  /** What the nemesis may do, together with what others do for it. */
  victims(
    others: Pick<Victims, "hosts" | "cut" | "leader" | "stallEngine"> & {
      readonly clientClocks: ReadonlyMap<string, LocalClock>;
    },
  ): Victims {
    const { timeline } = this.#options.surroundings;
    const machineOf = (name: string) => this.#supervised.get(name)?.machine;
    return {
      ...others,
      nodes: (kind) => this.#exposed(kind),
      clocks: () => [...this.#exposed("jump"), ...others.clientClocks.keys()],
      awake: () => this.#exposed("pause").filter((name) => !machineOf(name)?.incarnation?.paused),
      crash: (name, power) => this.#crash(name, power),
      restart: (name) => {
        if (this.#supervised.get(name)?.state === "down") this.#boot(name);
      },
      pause: (name) => {
        machineOf(name)?.incarnation?.pause();
        timeline.add(name, "pause", "is paused");
      },
      resume: (name) => {
        machineOf(name)?.incarnation?.resume();
        timeline.add(name, "resume", "goes on");
      },
      jump: (name, ms) => (machineOf(name)?.clock ?? others.clientClocks.get(name))?.jump(ms),
      fillDisk: (name, full) => machineOf(name)?.disk.setFull(full),
    };
  }

  /** Those that run and that the fault may befall. */
  #exposed(kind: FaultKind): string[] {
    return this.running().filter((name) => !this.#supervised.get(name)?.isSpared(kind));
  }

  /** The program ends by an error that nobody catches, and is started again. False if it is no program's error. */
  exits(name: string, error: unknown): boolean {
    if (!this.#supervised.has(name)) return false;
    this.#crash(name, false);
    this.#options.surroundings.timeline.add(name, "crash", `exits: ${String(error)}`);
    this.#bootLater(name);
    return true;
  }

  /** Disposes of what the programs returned; resolves when all of it is done. */
  async stop(): Promise<void> {
    const running = [...this.#supervised.values()].filter(({ disposable }) => disposable !== undefined);
    this.#stopping = running.map(({ machine }) => machine.name);
    await Promise.all(running.map((each) => this.#dispose(each)));
  }

  end(): void {
    for (const { machine } of this.#supervised.values()) machine.incarnation?.die();
  }

  async #dispose({ machine, disposable }: Supervised): Promise<void> {
    const { incarnation } = machine;
    await new Promise<void>((resolve, reject) => {
      incarnation?.schedule(0, this.#options.surroundings.trace.label(`${machine.name} stop`), () => {
        dispose(disposable).then(resolve, reject);
      });
    });
    this.#stopping = this.#stopping.filter((name) => name !== machine.name);
  }

  #crash(name: string, power: boolean): void {
    const supervised = this.#supervised.get(name);
    if (!supervised || supervised.state === "down") return;
    supervised.state = "down";
    supervised.disposable = undefined;
    supervised.machine.crash(power);
    this.#options.surroundings.timeline.add(name, "crash", power ? "loses power" : "crashes");
  }

  #boot(name: string): void {
    const supervised = this.#supervised.get(name);
    if (supervised?.state !== "down") return;
    const { timeline, trace } = this.#options.surroundings;
    const { incarnation, node } = supervised.machine.boot();
    supervised.state = "starting";
    timeline.add(name, "start", `starts, life ${node.incarnation}`);
    incarnation.schedule(0, trace.label(`${name} start`), () => {
      // In a chain of its own, so that a function that throws at once is an error of the start, too.
      Promise.resolve()
        .then(() => supervised.start(node))
        .then(
          (disposable) => this.#started(supervised, incarnation, disposable),
          (error: unknown) => this.#failedToStart(supervised, incarnation, error),
        );
    });
  }

  #started(supervised: Supervised, incarnation: Incarnation, disposable: MaybeDisposable): void {
    if (supervised.machine.incarnation !== incarnation) return;
    supervised.state = "running";
    supervised.disposable = disposable;
    if (this.notStarted.length === 0) for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** A program that finds its world unavailable exits, and the supervision tries again. */
  #failedToStart({ machine }: Supervised, incarnation: Incarnation, error: unknown): void {
    if (machine.incarnation !== incarnation) return;
    const { name } = machine;
    if (isTrouble(error)) {
      this.exits(name, error);
      return;
    }
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    this.#options.fail({ kind: "uncaught", subject: name, message: `${name} could not start: ${what}`, error });
  }

  #bootLater(name: string): void {
    const { world, surroundings } = this.#options;
    const dice = createDice(surroundings.seed, `supervision ${name} ${surroundings.loop.now}`);
    world.runtime.timers.after(dice.between(100, 1_000), () => this.#boot(name));
  }
}

interface Placement {
  readonly name: string;
  readonly role: string;
  readonly index: number;
  /** Whether a kind of fault does not befall it. */
  readonly isSpared: (kind: FaultKind) => boolean;
}

function createMachine({ name, role, index, isSpared }: Placement, surroundings: Surroundings): Machine {
  const { seed, loop, plan } = surroundings;
  const drift = createDice(seed, `drift ${name}`);
  const drifts = drift.hits(plan.strengths.get("drift") ?? 0) && !isSpared("drift");
  const clock = new LocalClock(() => loop.now, { rate: drifts ? 1 + drift.between(-0.01, 0.01) : 1 });
  const disk = createMachineDisk(name, { seed, plan, isSpared });
  return new Machine({ name, role, index, clock, disk }, surroundings);
}

async function dispose(disposable: MaybeDisposable): Promise<void> {
  if (!disposable) return;
  if (Symbol.asyncDispose in disposable) await disposable[Symbol.asyncDispose]();
  else disposable[Symbol.dispose]();
}
