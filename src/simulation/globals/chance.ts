import crypto from "node:crypto";
import type { Identity } from "./identity.ts";

/** `Math.random` and everything of `node:crypto` that draws at random, from the chance of whoever asks. */
export function patchChance(identity: Identity): void {
  const realRandom = Math.random;
  Math.random = () => identity.current?.runtime.random.next() ?? realRandom();

  const real = {
    randomBytes: crypto.randomBytes,
    randomFillSync: crypto.randomFillSync,
    randomFill: crypto.randomFill,
    randomInt: crypto.randomInt,
    randomUUID: crypto.randomUUID,
    getRandomValues: Object.getPrototypeOf(crypto.webcrypto).getRandomValues as typeof crypto.webcrypto.getRandomValues,
  };
  const bytes = (count: number): Buffer => Buffer.from(identity.current?.runtime.random.bytes(count) ?? []);
  /** Offset and size count elements, as Node has it. */
  const fill = <T extends NodeJS.ArrayBufferView>(view: T, offset = 0, size?: number): T => {
    const { BYTES_PER_ELEMENT: unit = 1 } = view as { BYTES_PER_ELEMENT?: number };
    const from = offset * unit;
    const count = size === undefined ? view.byteLength - from : size * unit;
    Buffer.from(view.buffer, view.byteOffset, view.byteLength).set(bytes(count), from);
    return view;
  };
  const uuid = (): `${string}-${string}-${string}-${string}-${string}` => {
    const drawn = bytes(16);
    drawn[6] = ((drawn[6] ?? 0) & 0x0f) | 0x40;
    drawn[8] = ((drawn[8] ?? 0) & 0x3f) | 0x80;
    const hex = drawn.toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  };
  /** The patched function while a simulation runs, the real one otherwise. */
  const either = <F>(virtual: (...given: never[]) => unknown, realOne: F): F =>
    function (this: unknown, ...given: never[]) {
      return identity.current ? virtual(...given) : (realOne as (...given: never[]) => unknown).apply(this, given);
    } as F;

  const patched = {
    randomBytes: either((count: number, done?: (error: null, bytes: Buffer) => void) => {
      const drawn = bytes(count);
      return done ? void identity.current?.runtime.timers.immediate(() => done(null, drawn)) : drawn;
    }, real.randomBytes),
    randomFillSync: either(fill, real.randomFillSync),
    randomFill: either((view: NodeJS.ArrayBufferView, ...rest: unknown[]) => {
      const done = rest.pop() as (error: null, view: NodeJS.ArrayBufferView) => void;
      const filled = fill(view, ...(rest as number[]));
      identity.current?.runtime.timers.immediate(() => done(null, filled));
    }, real.randomFill),
    randomInt: either((...given: unknown[]) => {
      const done = typeof given.at(-1) === "function" ? (given.pop() as (error: null, n: number) => void) : undefined;
      const [low, high] = (given.length === 1 ? [0, ...given] : given) as [number, number];
      const drawn = low + Math.floor((identity.current?.runtime.random.next() ?? 0) * (high - low));
      return done ? void identity.current?.runtime.timers.immediate(() => done(null, drawn)) : drawn;
    }, real.randomInt),
    randomUUID: either(uuid, real.randomUUID),
  };
  Object.assign(crypto, patched);
  // The module's own `getRandomValues` is read from here.
  const prototype = Object.getPrototypeOf(crypto.webcrypto);
  const values = function (this: unknown, view: NodeJS.ArrayBufferView) {
    return identity.current ? fill(view) : real.getRandomValues.call(this as typeof crypto.webcrypto, view as never);
  };
  Object.defineProperty(prototype, "getRandomValues", { value: values, writable: true, configurable: true });
  Object.defineProperty(prototype, "randomUUID", { value: patched.randomUUID, writable: true, configurable: true });
}
