import type { Checker, CheckResult, History } from "../check/index.ts";
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

/** How long between two looks whether something holds at last, in milliseconds: at first, and at most. */
const lookAgainMs = 50;
const longestLookAgainMs = 5_000;
/** How long between two looks at the invariants. */
const lookMs = 200;

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

  /** What the scenario begins with. */
  async setup(): Promise<void> {
    const { scenario, world, fail } = this.#options;
    try {
      await scenario.workload.setup?.(world);
    } catch (error) {
      fail({ kind: "uncaught", subject: "setup", message: `setup: ${messageOf(error)}`, error });
    }
  }

  /** Tries the invariants again and again, whatever the clients do. */
  keepLooking(): void {
    if (this.#options.scenario.invariants === undefined) return;
    this.#options.outside.runtime.timers.after(lookMs, () => {
      this.soon();
      this.keepLooking();
    });
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
      for (let wait = lookAgainMs; ; wait = Math.min(longestLookAgainMs, wait * 1.2)) {
        const { held, reason, error } = await asked(holds, world);
        if (held) break;
        if (world.now >= deadline) {
          const message = `"${name}" does not hold although nothing is wrong any more${reason}`;
          fail({ kind: "eventually", subject: name, message, ...(error !== undefined && { error }) });
          return;
        }
        await new Promise<void>((resolve) => void outside.runtime.timers.after(wait, resolve));
      }
    }
  }

  /** Tries the invariants a last time, and the checkers. */
  async finally(history: History): Promise<void> {
    await this.#invariants();
    for (const checker of this.#options.scenario.checks ?? []) {
      const result = this.#judge(checker, history);
      if (!result) return;
      const { check, verdict, summary, operations } = result;
      if (verdict === "unknown") this.#undecided.push(result);
      if (verdict === "violated") {
        const message = [`${check}: ${summary}`, ...result.explanation].join("\n");
        this.#options.fail({ kind: "check", subject: check, message, operations });
      }
    }
  }

  #judge(checker: Checker, history: History): CheckResult | undefined {
    try {
      return checker.check(history);
    } catch (error) {
      const message = `${checker.name} could not judge the history: ${messageOf(error)}`;
      this.#options.fail({ kind: "check", subject: checker.name, message, error });
      return undefined;
    }
  }

  async #invariants(): Promise<void> {
    const { scenario, world, fail } = this.#options;
    for (const [name, invariant] of Object.entries(scenario.invariants ?? {})) {
      try {
        await invariant(world);
      } catch (error) {
        fail({ kind: "invariant", subject: name, message: `"${name}" does not hold: ${messageOf(error)}`, error });
      }
    }
  }
}

/** Whether it holds, or what it says of why not. */
async function asked(
  holds: (world: World) => boolean | Promise<boolean>,
  world: World,
): Promise<{ readonly held: boolean; readonly reason: string; readonly error?: unknown }> {
  try {
    return { held: await holds(world), reason: "" };
  } catch (error) {
    return { held: false, reason: `: ${messageOf(error)}`, error };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
