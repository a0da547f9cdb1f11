import type { CheckResult, History } from "../check/index.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Failure } from "./result.ts";
import type { World } from "./scenario.ts";
import type { SizedScenario } from "./sized-scenario.ts";
import type { Label } from "./trace.ts";

export interface VerificationOptions {
  readonly scenario: SizedScenario;
  readonly world: World;
  /** Whose events the verification's are. */
  readonly outside: Incarnation;
  readonly label: Label;
  readonly fail: (failure: Omit<Failure, "at" | "operations"> & Partial<Pick<Failure, "operations">>) => void;
}

/** How long between two looks whether something holds at last, in milliseconds. */
const lookAgainMs = 50;

/** Looks whether what must hold does. */
export class Verification {
  readonly #options: VerificationOptions;
  readonly #undecided: CheckResult[] = [];
  #due = false;

  constructor(options: VerificationOptions) {
    this.#options = options;
  }

  /** What the checkers could not decide. */
  get undecided(): readonly CheckResult[] {
    return this.#undecided;
  }

  /** Tries the invariants in an event of their own. */
  soon(): void {
    if (this.#due || this.#options.scenario.invariants === undefined) return;
    this.#due = true;
    const { outside, label } = this.#options;
    outside.schedule(0, label, () => {
      void this.#invariants().then(() => {
        this.#due = false;
      });
    });
  }

  /** Waits until everything holds that is to hold in the end. */
  async eventually(deadline: number): Promise<void> {
    const { scenario, world, outside, fail } = this.#options;
    for (const [name, holds] of Object.entries(scenario.eventually ?? {})) {
      while (!(await holds(world))) {
        if (world.now >= deadline) {
          const message = `"${name}" does not hold although nothing is wrong any more`;
          fail({ kind: "eventually", subject: name, message });
          return;
        }
        await new Promise<void>((resolve) => void outside.runtime.timers.after(lookAgainMs, resolve));
      }
    }
  }

  /** Tries the invariants a last time, and the checkers. */
  async finally(history: History): Promise<void> {
    await this.#invariants();
    for (const checker of this.#options.scenario.checks ?? []) {
      const result = checker.check(history);
      const { check, verdict, summary, operations } = result;
      if (verdict === "unknown") this.#undecided.push(result);
      if (verdict === "violated") {
        const message = [`${check}: ${summary}`, ...result.explanation].join("\n");
        this.#options.fail({ kind: "check", subject: check, message, operations });
      }
    }
  }

  async #invariants(): Promise<void> {
    const { scenario, world, fail } = this.#options;
    for (const [name, invariant] of Object.entries(scenario.invariants ?? {})) {
      try {
        await invariant(world);
      } catch (error) {
        const what = error instanceof Error ? error.message : String(error);
        fail({ kind: "invariant", subject: name, message: `"${name}" does not hold: ${what}`, error });
      }
    }
  }
}
