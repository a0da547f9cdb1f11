import { hashText, mix } from "./dice.ts";

/** Names a kind of decision at one place, such as "latency api-0→store". Made once, used often. */
export interface Label {
  readonly text: string;
  readonly hash: number;
}

/** One thing that a run decided or did. Two runs of a seed make the same ones in the same order. */
export interface Decision {
  readonly label: string;
  readonly value: number;
}

/** Where a run left the path of an earlier one. */
export interface Divergence {
  /** Position among the decisions, from 0. */
  readonly index: number;
  readonly expected: Decision | undefined;
  readonly found: Decision | undefined;
}

const bits = new Float64Array(1);
const words = new Int32Array(bits.buffer);

/**
 * Everything that a run decided, in order, as a hash of 64 bits: equal hashes, equal runs. On demand also the decisions
 * themselves, and a comparison with those of an earlier run.
 */
export class Trace {
  readonly #labels = new Map<string, Label>();
  readonly #recorded: Decision[] | undefined;
  readonly #expected: readonly Decision[] | undefined;
  #high = 0x6a09e667;
  #low = 0x3c6ef372;
  #count = 0;
  #divergence: Divergence | undefined;

  /** @param options `record`: keep the decisions; `expected`: those of the run to compare with */
  constructor(options: { readonly record?: boolean; readonly expected?: readonly Decision[] | undefined } = {}) {
    this.#recorded = options.record ? [] : undefined;
    this.#expected = options.expected;
  }

  label(text: string): Label {
    let label = this.#labels.get(text);
    if (!label) {
      label = { text, hash: hashText(text) };
      this.#labels.set(text, label);
    }
    return label;
  }

  note(label: Label, value: number): void {
    bits[0] = value;
    this.#high = Math.imul(this.#high ^ label.hash ^ (words[0] as number), 0x01000193) ^ (this.#high >>> 15);
    this.#low = mix(this.#low ^ (words[1] as number) ^ this.#high);
    if (this.#recorded && this.#recorded.length < mostDecisions) this.#recorded.push({ label: label.text, value });
    if (this.#expected) this.#compare(label.text, value);
    this.#count++;
  }

  #compare(label: string, value: number): void {
    if (this.#divergence || this.#count >= mostDecisions) return;
    const expected = this.#expected?.[this.#count];
    if (expected?.label === label && Object.is(expected.value, value)) return;
    this.#divergence = { index: this.#count, expected, found: { label, value } };
  }

  /** 16 hexadecimal digits. */
  get hash(): string {
    const hex = (word: number) => (word >>> 0).toString(16).padStart(8, "0");
    return hex(mix(this.#high)) + hex(this.#low);
  }

  /** How many decisions there were. */
  get count(): number {
    return this.#count;
  }

  /** The decisions, if they were to be recorded: the first million of them. */
  get decisions(): readonly Decision[] {
    return this.#recorded ?? [];
  }

  /** Where this run first differs from the one expected. */
  get divergence(): Divergence | undefined {
    if (this.#divergence || !this.#expected) return this.#divergence;
    const expected = this.#expected[this.#count];
    return expected && { index: this.#count, expected, found: undefined };
  }
}

/** Longer runs are compared by their beginning and their hash. */
const mostDecisions = 1_000_000;
