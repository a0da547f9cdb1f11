import type { Recorder } from "../check/index.ts";
import { sleep } from "../core/index.ts";
import { createDice } from "./dice.ts";
import { isTrouble, isUserError } from "./expected-errors.ts";
import type { Incarnation } from "./incarnation.ts";
import { LocalClock } from "./local-clock.ts";
import { Machine, type Surroundings } from "./machine.ts";
import { noDisk } from "./machine-disk.ts";
import { createRecording, nameOf } from "./recording.ts";
import type { Failure } from "./result.ts";
import type { SimulatedClient, SimulatedNode } from "./scenario.ts";
import type { SizedScenario } from "./sized-scenario.ts";

export interface ClientsOptions {
  readonly scenario: SizedScenario;
  readonly surroundings: Surroundings;
  readonly recorder: Recorder;
  /** Called after each operation. */
  readonly onReturn: () => void;
  readonly fail: (failure: Omit<Failure, "at" | "operations">) => void;
}

/** The clients: each does its operations one after the other, from a machine that does not crash. */
export class Clients {
  readonly #options: ClientsOptions;
  readonly #machines: Machine[] = [];
  readonly #errors = new Map<string, number>();
  /** What each client is doing. */
  readonly #doing = new Map<string, string>();

  constructor(options: ClientsOptions) {
    this.#options = options;
    const { scenario, surroundings } = options;
    for (let index = 0; index < scenario.workload.clients; index++) {
      const clock = new LocalClock(() => surroundings.loop.now);
      const name = `client-${index}`;
      const machine = new Machine({ name, role: "client", index, clock, disk: noDisk }, surroundings);
      surroundings.fabric.add(machine);
      this.#machines.push(machine);
    }
  }

  /** Lets all clients begin; resolves when they have done all their operations. */
  async start(): Promise<void> {
    await Promise.all(this.#machines.map((machine) => this.#begin(machine)));
  }

  /** Their clocks, by name. */
  get clocks(): ReadonlyMap<string, LocalClock> {
    return new Map(this.#machines.map(({ name, clock }) => [name, clock]));
  }

  /** Operations that have not come to an end. */
  get waiting(): string[] {
    return [...this.#doing].map(([name, what]) => `${name}: ${what}`);
  }

  /** How often clients met which error. */
  get errors(): Record<string, number> {
    return Object.fromEntries(this.#errors);
  }

  end(): void {
    for (const machine of this.#machines) machine.incarnation?.die();
  }

  #begin(machine: Machine): Promise<void> {
    const { incarnation, node } = machine.boot();
    const label = this.#options.surroundings.trace.label(`${machine.name} begin`);
    return new Promise((resolve, reject) => {
      incarnation.schedule(0, label, () => void this.#work(node, incarnation).then(resolve, reject));
    });
  }

  async #work(node: SimulatedNode, incarnation: Incarnation): Promise<void> {
    const { scenario, surroundings, onReturn } = this.#options;
    const { operations, think, operation } = scenario.workload;
    const pace = createDice(surroundings.seed, `pace ${node.name}`);
    for (let number = 0; number < operations; number++) {
      await sleep(incarnation.runtime, pace.exponential(think));
      this.#doing.set(node.name, `operation ${number}`);
      try {
        await operation(this.#createClient(node, number));
      } catch (error) {
        if (!this.#isExpected(error, node.name, number)) return;
      }
      this.#doing.delete(node.name);
      onReturn();
    }
  }

  #isExpected(error: unknown, client: string, number: number): boolean {
    if (isTrouble(error) || isUserError(error)) {
      const what = nameOf(error);
      this.#errors.set(what, (this.#errors.get(what) ?? 0) + 1);
      return true;
    }
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const kind = (error as { code?: unknown } | null)?.code === "SIMULATION_ESCAPE" ? "escape" : "operation";
    this.#options.fail({ kind, subject: client, message: `${client}, operation ${number}: ${what}`, error });
    return false;
  }

  #createClient(node: SimulatedNode, number: number): SimulatedClient {
    const { recorder: common, surroundings } = this.#options;
    const recorder = createRecording({
      recorder: common,
      timeline: surroundings.timeline,
      machine: node.name,
      onCall: (text) => this.#doing.set(node.name, text),
    });
    const { name, role, index, runtime, network, peers, log, state } = node;
    return {
      name,
      role,
      index,
      runtime,
      network,
      peers,
      log,
      state,
      get engine() {
        return node.engine;
      },
      operation: number,
      recorder,
      record: (call, run) => recorder.record({ client: name, ...call }, run),
    };
  }
}
