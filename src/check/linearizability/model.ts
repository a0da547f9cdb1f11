import type { Operation } from "../history.ts";

/**
 * A sequential object: what one client alone would see. A history is linearizable if each operation can be given one instant
 * between its call and its return, so that the object, run in the order of these instants, gives the answers that were recorded
 * (Herlihy, Wing: Linearizability: a correctness condition for concurrent objects, TOPLAS 1990).
 *
 * States are immutable values. All methods are pure, and see of an operation only its name, key, input, output and outcome: two
 * operations that are equal in these are interchangeable.
 */
export interface Model<State = unknown> {
  /** Such as "register". */
  readonly name: string;
  readonly initial: State;
  /** @throws InvalidArgumentError an operation that the model does not know, or malformed; it names the operation's id */
  validate?(operation: Operation): void;
  /**
   * The independent part of the object that it is about; default: one part. A history is linearizable if and only if each
   * part's is (locality: Herlihy, Wing, theorem 1; P-compositionality: Horn, Kroening, FORTE 2015).
   */
  partition?(operation: Operation): string | undefined;
  /**
   * The state after the operation; `undefined` if in this state it cannot happen, or not with this output. With outcome
   * "unknown" the output is not known: say what it does, and `undefined` where it does nothing.
   */
  step(state: State, operation: Operation): State | undefined;
  /** Canonical: equal for equal states, different for different ones. */
  key(state: State): string | number;
  /** Whether, having this outcome and output, it changes nothing in whatever state it is possible. Default: no. */
  isRead?(operation: Operation): boolean;
  /** Whether an operation that failed tells something, and is to be judged as if it had been answered. Default: no. */
  observes?(operation: Operation): boolean;
  /** What it does if that is this simple; see `Transition`. It is what makes histories of registers easy. */
  transition?(operation: Operation): Transition | undefined;
  /**
   * For a queue, first in, first out: what the operation puts in or takes out; `undefined`: it takes an item that is not
   * known, or does not change the queue. The search then sees long before that items are put in in the wrong order.
   */
  movement?(operation: Operation): Movement | undefined;
  /**
   * Values that it is about, if the model has this property: from a legal order, all operations about a value may be left out and
   * the rest is legal. `undefined`: about more than can be said. Only used to make counterexamples small.
   */
  concerns?(operation: Operation): readonly (string | number)[] | undefined;
  /** One line for people, without the client; default: name, key, input and output. */
  describe?(operation: Operation): string;
  /** The state for people; default: its key. */
  showState?(state: State): string;
}

/**
 * An operation that, wherever it is possible, leads to the state of the key `to`, and is possible in the state `from` alone or,
 * if that is absent, in every state.
 */
export interface Transition {
  readonly from?: string | number;
  readonly to: string | number;
}

/** An operation of a queue; `empty` found nothing in it. */
export type Movement = { readonly kind: "put" | "take"; readonly item: string | number } | { readonly kind: "empty" };
