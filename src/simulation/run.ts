import { createRecorder, type Recorder } from "../check/index.ts";
import { createEngine, type Engine } from "../engine/index.ts";
import { Clients } from "./clients.ts";
import { createDice } from "./dice.ts";
import { engineHost } from "./engine/engine-way.ts";
import { memoryServer } from "./engine/server.ts";
import { EventLoop } from "./event-loop.ts";
import { isTrouble, isUserError } from "./expected-errors.ts";
import { FaultPlan } from "./fault-plan.ts";
import { drawStrengths, kindsOf } from "./faults.ts";
import { Incarnation } from "./incarnation.ts";
import { LocalClock } from "./local-clock.ts";
import type { Surroundings } from "./machine.ts";
import { Machines } from "./machines.ts";
import { Nemesis } from "./nemesis.ts";
import { Links } from "./network/links.ts";
import { Fabric, type Host, type Network } from "./network/network.ts";
import { RarePaths } from "./rare-paths.ts";
import type { Failure, SimulationResult } from "./result.ts";
import type { World } from "./scenario.ts";
import { type RunOptions, type SizedScenario, sized } from "./sized-scenario.ts";
import { Timeline } from "./timeline.ts";
import { Trace } from "./trace.ts";
import { Verification } from "./verification.ts";

/** How code runs in a world where the globals are patched. */
export interface PatchedGlobals {
  /** From now on the globals are virtual, and what is nobody's is `outside`'s. */
  begin(outside: Incarnation): void;
  end(): void;
  /** A process begins to live with these. */
  attach(
    incarnation: Incarnation,
    surroundings: { readonly network: Network; readonly hosts: () => readonly string[] },
  ): void;
  /** Runs code so that the globals know whose it is. */
  enter(incarnation: Incarnation, run: () => void): void;
  /** Whether the next event may run: false while something real is under way. `escaped` is told of what must not be. */
  gate(escaped: (error: Error) => void): boolean;
}

/** One run of a scenario: builds the world, leads it through its phases, and says what was found. */
export class Run {
  readonly #scenario: SizedScenario;
  readonly #options: RunOptions;
  readonly #trace: Trace;
  readonly #loop: EventLoop;
  readonly #plan: FaultPlan;
  readonly #timeline: Timeline;
  readonly #rarePaths: RarePaths;
  readonly #outside: Incarnation;
  readonly #fabric: Fabric;
  readonly #recorder: Recorder;
  readonly #engine: Engine;
  readonly #machines: Machines;
  readonly #clients: Clients;
  readonly #nemesis: Nemesis;
  readonly #verification: Verification;
  readonly #world: World;
  readonly #enter: Surroundings["enter"];
  readonly #patched: PatchedGlobals | undefined;
  #failure: Failure | undefined;

  constructor(options: RunOptions, patched?: PatchedGlobals) {
    this.#options = options;
    const scenario = sized(options);
    this.#scenario = scenario;
    const { seed } = options;
    this.#trace = new Trace({ record: options.record ?? false, expected: options.expected });
    this.#loop = new EventLoop(this.#trace, {
      limit: scenario.events,
      onLimit: () => this.#fail({ kind: "budget", subject: "events", message: `more than ${scenario.events} events` }),
      onIdle: () => this.#idle(),
      gate: patched && (() => patched.gate((error) => this.#uncaught(this.#loop.current as Incarnation, error))),
    });
    const now = () => this.#loop.now;
    this.#timeline = new Timeline(options.trace ? timelineEntries : 0, now);
    const swarm = createDice(seed, "swarm");
    const strengths = drawStrengths(kindsOf(scenario.faults), scenario.strengths, swarm);
    this.#plan = new FaultPlan({
      seed,
      strengths,
      only: options.reduction?.faults && new Set(options.reduction.faults),
      trace: this.#trace,
      now,
    });
    this.#plan.healed = true;
    this.#rarePaths = new RarePaths(this.#plan);
    this.#patched = patched;
    this.#enter = patched ? (incarnation, run) => patched.enter(incarnation, run) : (_, run) => run();
    this.#outside = this.#process("world");
    const serverMachine = this.#process(engineHost);
    this.#fabric = new Fabric(this.#createLinks());
    this.#fabric.add(bareHost(engineHost, serverMachine));
    const server = (scenario.engine ?? memoryServer)(serverMachine.runtime);
    this.#engine = createEngine(server.open(), { runtime: this.#outside.runtime });
    this.#recorder = createRecorder({ now, ...(scenario.isDefinite && { isDefinite: scenario.isDefinite }) });
    this.#world = this.#createWorld();
    const surroundings = this.#createSurroundings({ machine: serverMachine, engine: server });
    const fail = this.#fail.bind(this);
    this.#machines = new Machines({ scenario, surroundings, world: this.#outside, fail });
    this.#verification = new Verification({
      scenario,
      world: this.#world,
      outside: this.#outside,
      label: this.#trace.label("world verification"),
      fail,
    });
    this.#clients = new Clients({
      scenario,
      surroundings,
      recorder: this.#recorder,
      onReturn: () => this.#verification.soon(),
      fail,
    });
    this.#nemesis = this.#createNemesis(serverMachine);
  }

  async execute(): Promise<SimulationResult> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const abort = (): void => this.#loop.stop();
    signal?.addEventListener("abort", abort, { once: true });
    // Only the code under simulation runs meanwhile, and all of it within the event that is current.
    const others = process.listeners("unhandledRejection");
    const rejected = (error: unknown): void => this.#uncaught(this.#loop.current as Incarnation, error);
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", rejected);
    try {
      this.#outside.schedule(0, this.#trace.label("world begin"), () => {
        this.#script().then(
          () => this.#loop.stop(),
          (error) => this.#uncaught(this.#outside, error),
        );
      });
      this.#patched?.begin(this.#outside);
      await this.#loop.run();
    } finally {
      this.#patched?.end();
      signal?.removeEventListener("abort", abort);
      process.off("unhandledRejection", rejected);
      for (const listener of others) process.on("unhandledRejection", listener);
      this.#end();
    }
    signal?.throwIfAborted();
    return this.#result();
  }

  /** The phases. */
  async #script(): Promise<void> {
    const { faultMs, settleMs, healMs } = this.#scenario;
    await this.#verification.setup();
    await this.#within(healMs, this.#machines.start(), () => this.#machines.notStarted);
    this.#plan.healed = false;
    this.#machines.disturbClocks();
    this.#nemesis.start();
    this.#verification.keepLooking();
    const done = this.#clients.start();
    await Promise.race([done, this.#sleep(faultMs)]);
    this.#plan.healed = true;
    this.#timeline.add("world", "heal", "faults are over");
    this.#nemesis.heal();
    this.#machines.heal();
    const deadline = this.#loop.now + healMs;
    await this.#within(healMs, done, () => this.#clients.waiting);
    await this.#within(deadline - this.#loop.now, this.#machines.allRunning(), () => this.#machines.notStarted);
    await this.#sleep(settleMs);
    await this.#verification.eventually(deadline);
    await this.#verification.finally(this.#recorder.history());
    await this.#within(healMs, this.#machines.stop(), () => this.#machines.notStopped);
  }

  async #within(ms: number, work: Promise<unknown>, waiting: () => readonly string[]): Promise<void> {
    const timeout = Symbol();
    const first = await Promise.race([work, this.#sleep(ms).then(() => timeout)]);
    if (first !== timeout) return;
    this.#stuck(`after ${Math.round(ms / 1000)} s without faults`, waiting());
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#outside.runtime.timers.after(Math.max(ms, 0.001), resolve));
  }

  #idle(): void {
    this.#stuck("nothing is left to happen", [...this.#clients.waiting, ...this.#machines.notStarted]);
  }

  #stuck(when: string, waiting: readonly string[]): void {
    const what = waiting.length > 0 ? waiting.slice(0, 5).join("; ") : "the run";
    this.#fail({
      kind: "stuck",
      subject: waiting[0] ?? "world",
      message: `${when}, these have not come to an end: ${what}`,
    });
  }

  #uncaught(incarnation: Incarnation | undefined, error: unknown): void {
    const subject = incarnation?.name ?? "world";
    const isEscape = (error as { code?: unknown } | undefined)?.code === "SIMULATION_ESCAPE";
    const mayCrash = this.#scenario.uncaught === "crash" && (isTrouble(error) || isUserError(error));
    if (mayCrash && this.#machines.exits(subject, error)) return;
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    this.#fail({
      kind: isEscape ? "escape" : "uncaught",
      subject,
      message: `${subject}: nobody caught ${what}`,
      error,
    });
  }

  #fail(failure: Omit<Failure, "at" | "operations"> & Partial<Pick<Failure, "operations">>): void {
    if (this.#failure) return;
    this.#failure = { operations: [], ...failure, at: this.#loop.now };
    this.#timeline.add(this.#fabric.host(failure.subject) ? failure.subject : "world", "failure", failure.message);
    this.#loop.stop();
  }

  /** Nothing of this world runs any more. */
  #end(): void {
    this.#clients.end();
    this.#machines.end();
    this.#fabric.host(engineHost)?.incarnation?.die();
    this.#outside.die();
  }

  #createLinks(): Links {
    const timeline = this.#timeline;
    return new Links({
      seed: this.#options.seed,
      plan: this.#plan,
      trace: this.#trace,
      latency: this.#scenario.latency,
      onArrival: timeline.on
        ? (from, to, sentAt, what) => timeline.add(from, "message", what, { to, sentAt })
        : undefined,
    });
  }

  /** A process that nothing happens to. */
  #process(name: string): Incarnation {
    return new Incarnation({
      name,
      loop: this.#loop,
      trace: this.#trace,
      clock: new LocalClock(() => this.#loop.now),
      dice: createDice(this.#options.seed, `program ${name}`),
      maybe: () => false,
      enter: this.#enter,
      onError: (incarnation, error) => this.#uncaught(incarnation, error),
    });
  }

  #createSurroundings(server: Surroundings["server"]): Surroundings {
    return {
      seed: this.#options.seed,
      loop: this.#loop,
      trace: this.#trace,
      plan: this.#plan,
      fabric: this.#fabric,
      timeline: this.#timeline,
      rarePaths: this.#rarePaths,
      server,
      serviceTime: [0.1, 0.5],
      enter: this.#enter,
      born: (incarnation, network) => this.#patched?.attach(incarnation, { network, hosts: () => this.#fabric.names }),
      onError: (incarnation, error) => this.#uncaught(incarnation, error),
      peers: (role) => this.#machines.namesOf(role),
      recorder: this.#recorder,
      exits: (machine, reason) => void this.#machines.exits(machine, reason),
      state: this.#world.state,
    };
  }

  #createNemesis(server: Incarnation): Nemesis {
    return new Nemesis({
      seed: this.#options.seed,
      plan: this.#plan,
      world: this.#outside,
      victims: this.#machines.victims({
        hosts: () => this.#fabric.names,
        cut: (cut) => this.#fabric.links.cut(cut),
        leader: () => this.#scenario.leader?.(this.#world),
        stallEngine: (stalled) => (stalled ? server.pause() : server.resume()),
        clientClocks: this.#clients.clocks,
      }),
      onFault: (machine, text) => this.#timeline.add(machine, "fault", text),
    });
  }

  #createWorld(): World {
    const run = this;
    return {
      seed: this.#options.seed,
      get now() {
        return run.#loop.now;
      },
      get engine() {
        return run.#engine;
      },
      running: (role) => run.#machines.running(role),
      get history() {
        return run.#recorder.history();
      },
      state: new Map(),
    };
  }

  #result(): SimulationResult {
    const { size, name } = this.#scenario;
    return {
      scenario: name,
      seed: this.#options.seed,
      reduction: this.#options.reduction,
      ok: this.#failure === undefined,
      failure: this.#failure,
      undecided: this.#verification.undecided,
      traceHash: this.#trace.hash,
      decisions: this.#trace.count,
      recorded: this.#trace.decisions,
      divergence: this.#trace.divergence,
      events: this.#loop.executed,
      virtualMs: this.#loop.now,
      size,
      strengths: Object.fromEntries(this.#plan.strengths),
      struck: this.#plan.struck,
      maybe: this.#rarePaths.counts,
      errors: this.#clients.errors,
      history: this.#recorder.history(),
      timeline: this.#timeline.entries,
    };
  }
}

/** Entries of the timeline that are kept. */
const timelineEntries = 20_000;

/** A machine that only the engine's clients speak to. */
function bareHost(name: string, incarnation: Incarnation): Host {
  return { name, incarnation, ports: new Map(), listeners: new Map(), powered: true };
}
