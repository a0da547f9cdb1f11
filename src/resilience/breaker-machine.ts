import { channel } from "node:diagnostics_channel";
import { CircuitOpenError } from "../core/index.ts";
import type { BreakerHint, BreakerHints } from "./breaker-hints.ts";
import type { BreakerSettings, BreakerState } from "./breaker-options.ts";
import { type CallWindow, CountWindow, TimeWindow } from "./call-window.ts";

const stateChanged = channel("ashlar:circuit-breaker:state");
const refused = channel("ashlar:circuit-breaker:refused");

type Phase =
  | { readonly is: "closed" }
  | { readonly is: "isolated" }
  | { readonly is: "open"; readonly until: number }
  /** `began`: when the probes under way began, oldest first. */
  | { readonly is: "half-open"; readonly began: number[]; successes: number };

/** The states of a breaker and what moves it from one to the next; it is asked before each call and told after. */
export class BreakerMachine {
  readonly #settings: BreakerSettings;
  readonly #window: CallWindow;
  /** Whether the time of a success matters while closed. */
  readonly #clocked: boolean;
  #phase: Phase = { is: "closed" };
  /** Grows with each transition: what a call says that began before the last one is not about the present state. */
  #generation = 0;
  #consecutive = 0;
  /** Openings since it was last closed. */
  #openings = 0;
  /** Until then another process's word makes one failure enough. */
  #suspectUntil = Number.NEGATIVE_INFINITY;

  constructor(settings: BreakerSettings) {
    this.#settings = settings;
    this.#window =
      settings.calls === undefined ? new TimeWindow(settings.windowMs ?? 10_000) : new CountWindow(settings.calls);
    const timeless = settings.failureRatio === Number.POSITIVE_INFINITY || settings.calls !== undefined;
    this.#clocked = !timeless || settings.slowMs !== Number.POSITIVE_INFINITY;
    if (settings.hints !== undefined) listen(settings.hints, new WeakRef(this));
  }

  get state(): BreakerState {
    const phase = this.#phase;
    return phase.is === "open" && this.#now() >= phase.until ? "half-open" : phase.is;
  }

  get generation(): number {
    return this.#generation;
  }

  get isClosed(): boolean {
    return this.#phase.is === "closed";
  }

  /** For a call while it is not closed. The error with which it is refused; undefined: it goes through as a probe. */
  admitProbe(now: number): CircuitOpenError | undefined {
    let phase = this.#phase;
    if (phase.is === "half-open" && now - (phase.began[0] ?? now) >= this.#settings.probeTimeoutMs) {
      this.#open(now, "probe lost");
      phase = this.#phase;
    }
    if (phase.is === "open" && now >= phase.until) {
      phase = { is: "half-open", began: [], successes: 0 };
      this.#go(phase, "time to probe");
    }
    if (phase.is === "half-open" && phase.began.length < this.#settings.probes) {
      phase.began.push(now);
      return undefined;
    }
    return this.#refusal(phase.is === "open" ? phase.until - now : undefined);
  }

  /** A call that began in `generation` has ended. `outcome` "void" says nothing about the dependency. */
  ended(generation: number, startedAt: number, outcome: "success" | "failure" | "void"): void {
    if (generation !== this.#generation) return;
    const phase = this.#phase;
    // Reading the clock costs as much as all the rest.
    const now = this.#clocked || outcome === "failure" || phase.is !== "closed" ? this.#now() : Number.NaN;
    if (phase.is === "half-open") {
      phase.began.splice(phase.began.indexOf(startedAt), 1);
      const slow = now - startedAt >= this.#settings.slowMs;
      if (outcome === "failure" || slow) this.#open(now, "probe failed");
      else if (outcome === "success" && ++phase.successes >= this.#settings.requiredSuccesses)
        this.#close("probes succeeded");
      return;
    }
    if (outcome === "void") return;
    this.#record(now, outcome === "failure", now - startedAt >= this.#settings.slowMs);
  }

  isolate(): void {
    if (this.#phase.is !== "isolated") this.#go({ is: "isolated" }, "by hand");
  }

  close(): void {
    if (this.#phase.is !== "closed") this.#close("by hand");
  }

  #record(now: number, failed: boolean, slow: boolean): void {
    const { failureRatio, minimumCalls, consecutiveFailures, slowMs, slowCallRatio } = this.#settings;
    const window = this.#window;
    if (failureRatio !== Number.POSITIVE_INFINITY || slowMs !== Number.POSITIVE_INFINITY)
      window.record(now, failed, slow);
    if (!failed) this.#consecutive = 0;
    else if (++this.#consecutive >= consecutiveFailures || now < this.#suspectUntil) {
      this.#open(now, now < this.#suspectUntil ? "hint" : "failures");
      return;
    }
    if (!failed && !slow) return;
    window.advance(now);
    if (window.calls < minimumCalls) return;
    if (failed && window.failures / window.calls >= failureRatio) this.#open(now, "failures");
    else if (slow && slowMs !== Number.POSITIVE_INFINITY && window.slow / window.calls >= slowCallRatio)
      this.#open(now, "slow calls");
  }

  #open(now: number, why: string): void {
    const { openMs, maxOpenMs, hints, name } = this.#settings;
    const lasts = Math.min(maxOpenMs, openMs * 2 ** this.#openings);
    this.#openings = Math.min(this.#openings + 1, 1000);
    this.#go({ is: "open", until: now + lasts }, why);
    // Openings that others caused are not passed on, lest hints chase each other.
    if (why !== "hint") hints?.publish({ name, state: "open", openMs: lasts });
  }

  #close(why: string): void {
    const { hints, name } = this.#settings;
    this.#openings = 0;
    this.#suspectUntil = Number.NEGATIVE_INFINITY;
    this.#go({ is: "closed" }, why);
    if (why !== "by hand") hints?.publish({ name, state: "closed" });
  }

  #go(phase: Phase, why: string): void {
    const from = this.#phase.is;
    this.#phase = phase;
    this.#generation++;
    this.#window.clear();
    this.#consecutive = 0;
    const { name, onStateChange } = this.#settings;
    const transition = { name, from, to: phase.is, why };
    if (stateChanged.hasSubscribers) stateChanged.publish(transition);
    onStateChange?.(transition);
  }

  onHint(hint: BreakerHint): void {
    const { name, maxOpenMs } = this.#settings;
    if (hint.name !== name) return;
    const phase = this.#phase;
    const now = this.#now();
    if (hint.state === "open" && phase.is === "closed") {
      const openMs = hint.openMs ?? 0;
      if (openMs > 0) this.#suspectUntil = now + Math.min(openMs, maxOpenMs);
    } else if (hint.state === "closed") {
      this.#suspectUntil = Number.NEGATIVE_INFINITY;
      if (phase.is === "open") this.#phase = { is: "open", until: now };
    }
  }

  #refusal(retryAfterMs: number | undefined): CircuitOpenError {
    const { name } = this.#settings;
    const state = this.#phase.is;
    if (refused.hasSubscribers) refused.publish({ name, state });
    const when = retryAfterMs === undefined ? "" : `, and stays so for ${Math.ceil(retryAfterMs)} ms`;
    return new CircuitOpenError(`${name} is ${state}${when}: the call was not made`, {
      details: { name, state, ...(retryAfterMs !== undefined && { retryAfterMs }) },
    });
  }

  #now(): number {
    return this.#settings.runtime.clock.monotonic();
  }
}

/** A breaker has no end that one could unsubscribe at: it is let go with its last call. */
function listen(hints: BreakerHints, machine: WeakRef<BreakerMachine>): void {
  const stop = hints.subscribe((hint) => {
    const listener = machine.deref();
    if (listener === undefined) stop();
    else listener.onHint(hint);
  });
}
