import type { Model } from "./model.ts";
import { Queues } from "./queues.ts";
import type { States } from "./states.ts";
import { isRead, type Timeline } from "./timeline.ts";

const scannedAtMost = 32;

/**
 * What the rest of a history asks for: which states the operations that have not yet taken effect need, and who could bring
 * them about. It sees dead ends long before the operation that fails there, which is what makes registers easy although checking
 * is NP-complete (Gibbons, Korach: Testing shared memories, SIAM J. Comput. 1997; where each value is written once, they decide by
 * comparing the zones of the values, and so does this).
 */
export class Outlook {
  /** By entry: the state that it needs, and the one that it leads to; -1: not known. */
  readonly #from: Int32Array;
  readonly #to: Int32Array;
  readonly #reads: Uint8Array;
  readonly #done: Uint8Array;
  readonly #timeline: Timeline;
  /** By entry: its place in the order of returns; optional ones last. */
  readonly #deadline: Int32Array;
  /** By state, of the entries that are not done: required ones that need it; all that lead to it and are no reads. */
  readonly #demand = new Map<number, number>();
  readonly #makers = new Map<number, number>();
  /** Required entries that need the state, in the order of their calls, and of their returns. */
  readonly #needersByCall = new Map<number, number[]>();
  readonly #needersByReturn = new Map<number, number[]>();
  readonly #queues: Queues | undefined;
  /** Entries that are not done and could lead anywhere. */
  #wild = 0;
  /**
   * Whether the part consists of reads that need one state, and of writes, possible anywhere, each to a state of its own.
   * Then whatever `mayFollow` allows can be done without regret: say the state is s, and write w to state t is allowed. Nothing that
   * is not done needs s, or else w would not be allowed. So any completion is a sequence of groups, each a write and the
   * reads that need its state, and each legal wherever it stands. Move the group of t to the front: no operation of another
   * group has ended before an operation of this one begins, or else w would not be allowed.
   */
  readonly #isPlain: boolean;

  constructor(model: Model, timeline: Timeline, states: States) {
    const { entries, returns } = timeline;
    this.#timeline = timeline;
    this.#from = new Int32Array(entries.length).fill(-1);
    this.#to = new Int32Array(entries.length).fill(-1);
    this.#reads = new Uint8Array(entries.length);
    this.#done = new Uint8Array(entries.length);
    this.#deadline = Int32Array.from(entries.keys(), (index) => returns.length + index);
    for (const [place, index] of returns.entries()) this.#deadline[index] = place;
    const written = new Set([states.idOf(model.key(model.initial))]);
    let isPlain = true;
    for (const [index, { operation, optional }] of entries.entries()) {
      const transition = model.transition?.(operation);
      const read = isRead(model, operation);
      const from = transition?.from === undefined ? -1 : states.idOf(transition.from);
      const to = transition === undefined ? -1 : states.idOf(transition.to);
      this.#reads[index] = read ? 1 : 0;
      this.#from[index] = from;
      this.#to[index] = to;
      if (from !== -1 && !optional) append(this.#needersByCall, from, index);
      isPlain &&= to !== -1 && (read ? from !== -1 : from === -1 && !written.has(to));
      if (!read && to !== -1) written.add(to);
      this.#count(index, 1);
    }
    for (const [state, needers] of this.#needersByCall) {
      const byReturn = needers.toSorted((a, b) => (this.#deadline[a] as number) - (this.#deadline[b] as number));
      this.#needersByReturn.set(state, byReturn);
    }
    this.#isPlain = isPlain;
    this.#queues = model.movement && new Queues(model, timeline, this.#deadline, (index) => this.isDone(index));
  }

  isRead(index: number): boolean {
    return this.#reads[index] === 1;
  }

  isDone(index: number): boolean {
    return this.#done[index] === 1;
  }

  /** Whether there is no legal order, as far as can be seen without a search. */
  isHopeless(): boolean {
    return this.#queues?.isHopeless() ?? false;
  }

  /** Whether, if `mayFollow` allows the entry, nothing else need be tried in its place. */
  isFinal(index: number): boolean {
    return this.#isPlain || (this.#queues?.isFinal(index) ?? false);
  }

  /** The entry takes effect. */
  take(index: number): void {
    this.#done[index] = 1;
    this.#count(index, -1);
  }

  /** Undoes `take`. */
  untake(index: number): void {
    this.#done[index] = 0;
    this.#count(index, 1);
  }

  /** Where to begin: the entry whose state is needed soonest, or that itself returns soonest, has the smallest number. */
  urgency(index: number): number {
    let urgency = this.#deadline[index] as number;
    if (this.#queues) return this.#queues.urgency(index);
    const needers = this.#needersByReturn.get(this.#to[index] as number) ?? [];
    for (let i = 0; i < Math.min(needers.length, scannedAtMost); i++) {
      const needer = needers[i] as number;
      if (this.#done[needer] === 1 || needer === index) continue;
      urgency = Math.min(urgency, this.#deadline[needer] as number);
      break;
    }
    return urgency;
  }

  /**
   * `false` if no legal order can go on with this entry, which is no read and leads from state `from` to state `to`.
   * @param front the place in the order of returns before which everything is done
   */
  mayFollow(index: number, from: number, to: number, front: number): boolean {
    if (this.#queues && !this.#queues.mayFollow(index, front)) return false;
    const isWild = this.#to[index] === -1;
    // Somebody who could do anything may bring back any state.
    if (this.#wild - (isWild ? 1 : 0) > 0) return true;
    const needs = this.#from[index] as number;
    const leads = this.#to[index] as number;
    const madeElsewhere = (state: number): boolean => (this.#makers.get(state) ?? 0) - (leads === state ? 1 : 0) > 0;
    if (from !== to && !madeElsewhere(from)) {
      const counted = needs === from && !this.#timeline.entries[index]?.optional ? 1 : 0;
      if ((this.#demand.get(from) ?? 0) - counted > 0) return false;
    }
    return madeElsewhere(to) || !this.#comesTooEarly(index, to, front);
  }

  /**
   * Nobody else leads to `state`, so from now on all who need it must follow while it lasts, up to the one called last. Who
   * has ended before that call precedes it, and if it does not fit into this state, it precedes the entry too.
   */
  #comesTooEarly(index: number, state: number, front: number): boolean {
    const last = this.#lastNeeder(index, state);
    if (last === -1) return false;
    const { returns, returned, called } = this.#timeline;
    const begins = called[last] as number;
    for (let place = front; place < returns.length; place++) {
      const other = returns[place] as number;
      if ((returned[other] as number) >= begins) return false;
      if (other === index || this.#done[other] === 1) continue;
      const fits = this.#reads[other] === 1 && (this.#from[other] === state || this.#from[other] === -1);
      if (!fits) return true;
    }
    return false;
  }

  #lastNeeder(except: number, state: number): number {
    const needers = this.#needersByCall.get(state) ?? [];
    for (let i = needers.length - 1; i >= 0; i--) {
      const needer = needers[i] as number;
      if (needer !== except && this.#done[needer] === 0) return needer;
    }
    return -1;
  }

  #count(index: number, by: 1 | -1): void {
    const from = this.#from[index] as number;
    const to = this.#to[index] as number;
    if (from !== -1 && !this.#timeline.entries[index]?.optional) add(this.#demand, from, by);
    if (this.#reads[index] === 1) return;
    if (to === -1) this.#wild += by;
    else add(this.#makers, to, by);
  }
}

function add(counts: Map<number, number>, at: number, by: number): void {
  counts.set(at, (counts.get(at) ?? 0) + by);
}

function append(lists: Map<number, number[]>, at: number, index: number): void {
  const list = lists.get(at);
  if (list) list.push(index);
  else lists.set(at, [index]);
}
