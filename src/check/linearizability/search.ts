import { InvalidArgumentError } from "../../core/index.ts";
import type { Budget } from "./budget.ts";
import { Configurations } from "./configurations.ts";
import type { Model } from "./model.ts";
import { Outlook } from "./outlook.ts";
import { States } from "./states.ts";
import { createTimeline, type Entry, requestOf, type Timeline } from "./timeline.ts";

/** A point of decision: what it takes to return to it. */
interface Frame {
  /** Entries that had taken effect before. */
  readonly taken: number;
  readonly front: number;
  readonly state: number;
  /** How many candidates are tried. */
  tried: number;
}

export type SearchOutcome = "ok" | "violated" | "paused" | "exhausted";

/**
 * The search of Wing and Gong (Testing and verifying concurrent objects, JPDC 1993) for a legal order, with remembered configurations
 * and in the just-in-time form of Lowe (Testing for linearizability, 2017). The front is the first return of an operation that
 * has not taken effect: what was called before it may come next. So a configuration is the front, the state, and the pending
 * operations that have taken effect; of the latter there are never more than clients (and operations of unknown outcome),
 * however long the history.
 *
 * A pending read that is possible takes effect at once. Nothing is lost: if a legal order goes on from here with some operations and
 * then the read, it is also legal with the read first, because a read changes nothing, is possible now, and nothing that had to
 * precede it is left (all candidates overlap).
 *
 * It keeps its place between calls of `run`, and does not use the call stack for its depth.
 */
export class Search {
  readonly #model: Model;
  readonly #timeline: Timeline;
  readonly #states: States;
  readonly #outlook: Outlook;
  readonly #visited: Configurations;
  readonly #budget: Budget;
  readonly #foresight: boolean;
  /** By entry: an equal request of unknown outcome, called before; or -1. It goes first: it may do all that this one may. */
  readonly #twin: Int32Array;
  /** By slot: the entry that is pending there, or -1. */
  readonly #pending: Int32Array;
  /** By slot: whether that entry has taken effect. Invariant: no bit is set where nothing is pending. */
  readonly #bits: Int32Array;
  readonly #frames: Frame[] = [];
  /** The order so far. */
  readonly #taken: number[] = [];
  #front = 0;
  #state: number;
  #outcome: SearchOutcome = "paused";
  #charged = 0;
  #backtracking = false;
  #longest: { order: number[]; state: number } = { order: [], state: 0 };

  /** @param foresight whether to leave at once what cannot succeed later; without it, `longest` is a longest legal order indeed */
  constructor(model: Model, entries: readonly Entry[], budget: Budget, foresight = true) {
    this.#model = model;
    this.#budget = budget;
    this.#foresight = foresight;
    const timeline = createTimeline(entries);
    this.#timeline = timeline;
    this.#states = new States(
      model,
      timeline.entries.map(({ operation }) => operation),
    );
    this.#outlook = new Outlook(model, timeline, this.#states);
    this.#state = this.#states.intern(model.initial);
    this.#twin = twins(timeline.entries);
    this.#pending = new Int32Array(timeline.slots).fill(-1);
    this.#bits = new Int32Array(Math.ceil(timeline.slots / 32));
    this.#visited = new Configurations(this.#bits.length);
    this.#begin();
    if (foresight && this.#outlook.isHopeless()) this.#outcome = "violated";
  }

  /** The longest legal order that was found, and the state at its end. */
  get longest(): { readonly order: readonly Entry[]; readonly state: unknown } {
    const { order, state } = this.#longest;
    return { order: order.map((index) => this.#timeline.entries[index] as Entry), state: this.#states.get(state) };
  }

  /**
   * Searches on for about `steps` steps, which it takes from the budget.
   * @returns "paused" if it came to no end with these steps, "exhausted" if it cannot remember more
   */
  run(steps: number): SearchOutcome {
    const { returns } = this.#timeline;
    const before = this.#budget.steps;
    while (this.#outcome === "paused" && before - this.#budget.steps < steps) {
      if (this.#front === returns.length) this.#outcome = "ok";
      else this.#goOn();
      this.#charge();
    }
    this.#note();
    if (this.#outcome !== "paused") this.#release();
    return this.#outcome;
  }

  #begin(): void {
    this.#arrive(0);
    this.#settle();
    this.#frames.push(this.#frame());
  }

  /** Takes the next candidate of the last frame, or goes back by a frame. */
  #goOn(): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) {
      this.#outcome = "violated";
      return;
    }
    if (this.#backtracking) this.#return(frame);
    const candidates = this.#candidates();
    this.#budget.steps -= 1;
    while (frame.tried < candidates.length) {
      const index = candidates[frame.tried++] as number;
      this.#budget.steps -= 1;
      const next = this.#states.next(this.#state, index);
      if (next === -1) continue;
      if (this.#foresight) {
        if (!this.#outlook.mayFollow(index, this.#state, next, this.#front)) continue;
        if (this.#outlook.isFinal(index)) frame.tried = candidates.length;
      }
      this.#backtracking = false;
      this.#take(index);
      this.#state = next;
      this.#settle();
      if (this.#visited.add(this.#front, this.#state, this.#bits)) this.#frames.push(this.#frame());
      else this.#backtracking = true;
      return;
    }
    this.#note();
    this.#frames.pop();
    this.#backtracking = true;
  }

  /** What may come next, the most urgent first. Depends on the configuration alone, so that a frame can count on it. */
  #candidates(): number[] {
    const found: { index: number; urgency: number }[] = [];
    for (let slot = 0; slot < this.#pending.length; slot++) {
      const index = this.#pending[slot] as number;
      // A read that were possible would have taken effect.
      if (index === -1 || this.#outlook.isDone(index) || this.#outlook.isRead(index)) continue;
      const twin = this.#twin[index] as number;
      if (twin !== -1 && !this.#outlook.isDone(twin)) continue;
      found.push({ index, urgency: this.#outlook.urgency(index) });
    }
    return found.sort((a, b) => a.urgency - b.urgency || a.index - b.index).map(({ index }) => index);
  }

  /** All reads that are possible take effect, and the front moves on as far as it can. */
  #settle(): void {
    for (let slot = 0; slot < this.#pending.length; slot++) this.#readNow(this.#pending[slot] as number);
    const { returns, callsBefore, slot } = this.#timeline;
    while (this.#front < returns.length && this.#outlook.isDone(returns[this.#front] as number)) {
      const at = slot[returns[this.#front] as number] as number;
      this.#mark(at, false);
      this.#pending[at] = -1;
      const arrived = callsBefore[this.#front++] as number;
      this.#arrive(arrived);
      for (let index = arrived; index < (callsBefore[this.#front] ?? arrived); index++) this.#readNow(index);
    }
  }

  #readNow(index: number): void {
    if (index === -1 || this.#outlook.isDone(index) || !this.#outlook.isRead(index)) return;
    this.#budget.steps -= 1;
    const next = this.#states.next(this.#state, index);
    if (next === this.#state) this.#take(index);
    else if (next !== -1) throw changedByRead(this.#model, this.#timeline.entries[index] as Entry);
  }

  /** What was called before the return at the front, from entry `from` on, is pending now. */
  #arrive(from: number): void {
    const { callsBefore, slot } = this.#timeline;
    const to = callsBefore[this.#front] ?? from;
    for (let index = from; index < to; index++) this.#pending[slot[index] as number] = index;
  }

  #take(index: number): void {
    this.#outlook.take(index);
    this.#mark(this.#timeline.slot[index] as number, true);
    this.#taken.push(index);
  }

  #return(frame: Frame): void {
    const { returns, callsBefore, slot } = this.#timeline;
    while (this.#front > frame.front) {
      const arrived = callsBefore[this.#front - 1] as number;
      const pending = callsBefore[this.#front] ?? arrived;
      for (let index = arrived; index < pending; index++) {
        this.#pending[slot[index] as number] = -1;
        this.#mark(slot[index] as number, false);
      }
      const index = returns[--this.#front] as number;
      this.#pending[slot[index] as number] = index;
      this.#mark(slot[index] as number, true);
    }
    while (this.#taken.length > frame.taken) {
      const index = this.#taken.pop() as number;
      this.#outlook.untake(index);
      const at = slot[index] as number;
      if (this.#pending[at] === index) this.#mark(at, false);
    }
    this.#state = frame.state;
  }

  #mark(slot: number, taken: boolean): void {
    const word = slot >>> 5;
    const bit = 1 << (slot & 31);
    this.#bits[word] = taken ? (this.#bits[word] as number) | bit : (this.#bits[word] as number) & ~bit;
  }

  #frame(): Frame {
    return { taken: this.#taken.length, front: this.#front, state: this.#state, tried: 0 };
  }

  #note(): void {
    if (this.#taken.length > this.#longest.order.length || this.#longest.order.length === 0)
      this.#longest = { order: [...this.#taken], state: this.#state };
  }

  #charge(): void {
    const weight = this.#visited.size + this.#states.weight;
    this.#budget.memory -= weight - this.#charged;
    this.#charged = weight;
    if (this.#budget.memory < 0 && this.#outcome === "paused") this.#outcome = "exhausted";
  }

  #release(): void {
    this.#budget.memory += this.#charged;
    this.#charged = 0;
  }
}

function changedByRead(model: Model, { operation }: Entry): InvalidArgumentError {
  const what = `calls operation ${operation.id} (${operation.name}) a read, but it changes the state`;
  return new InvalidArgumentError(`the model ${model.name} ${what}`);
}

function twins(entries: readonly Entry[]): Int32Array {
  const last = new Map<string, number>();
  return Int32Array.from(entries, ({ operation, optional }, index) => {
    if (!optional || operation.outcome !== "unknown") return -1;
    const request = requestOf(operation);
    const twin = last.get(request) ?? -1;
    last.set(request, index);
    return twin;
  });
}
