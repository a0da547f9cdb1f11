import crypto from "node:crypto";
import type { Incarnation } from "../incarnation.ts";
import { currentIncarnation } from "./identity.ts";
import { named, replace } from "./patch.ts";

type Callback<T> = (error: Error | null, value: T) => void;
/** What `getRandomValues` and `randomFill` fill. */
type Fillable = ArrayBufferView | ArrayBuffer;

/** Lets everything that draws at random draw from the seed, through the machine whose code asks. */
export function patchChance(): void {
  const realRandom = Math.random;
  replace(Math, "random", named("random", () => currentIncarnation()?.runtime.random.next() ?? realRandom()));
  patchBytes();
  patchNumbers();
  const { webcrypto } = crypto;
  const realGetRandomValues = webcrypto.getRandomValues.bind(webcrypto);
  const getRandomValues = <T extends Fillable>(view: T): T => {
    const incarnation = currentIncarnation();
    if (!incarnation) return realGetRandomValues(view as never) as T;
    return fill(incarnation, view);
  };
  replace(webcrypto, "getRandomValues", getRandomValues);
  replace(crypto, "getRandomValues", getRandomValues);
  replace(webcrypto, "randomUUID", crypto.randomUUID);
}

function patchBytes(): void {
  const { randomBytes: realBytes, randomFillSync: realFillSync, randomFill: realFill } = crypto;
  const randomBytes = (size: number, callback?: Callback<Buffer>): Buffer | undefined => {
    const incarnation = currentIncarnation();
    if (!incarnation) return callback ? void realBytes(size, callback) : realBytes(size);
    const bytes = Buffer.from(incarnation.runtime.random.bytes(size));
    return answer(incarnation, bytes, callback);
  };
  replace(crypto, "randomBytes", randomBytes);
  replace(crypto, "pseudoRandomBytes", randomBytes);
  replace(crypto, "randomFillSync", (view: Fillable, offset?: number, size?: number) => {
    const incarnation = currentIncarnation();
    return incarnation ? fill(incarnation, view, offset, size) : realFillSync(view as Buffer, offset, size);
  });
  replace(crypto, "randomFill", (view: Fillable, ...rest: unknown[]) => {
    const incarnation = currentIncarnation();
    if (!incarnation) return Reflect.apply(realFill, crypto, [view, ...rest]);
    const callback = rest.pop() as Callback<Fillable>;
    return answer(incarnation, fill(incarnation, view, ...(rest as number[])), callback);
  });
}

function patchNumbers(): void {
  const { randomInt: realInt, randomUUID: realUuid } = crypto;
  const randomInt = (...args: unknown[]): number | undefined => {
    const incarnation = currentIncarnation();
    if (!incarnation) return Reflect.apply(realInt, crypto, args);
    const callback = typeof args.at(-1) === "function" ? (args.pop() as Callback<number>) : undefined;
    const [low, high] = args.length > 1 ? (args as [number, number]) : [0, args[0] as number];
    if (!(high > low)) throw new RangeError(`randomInt: max must be greater than min, given ${low} and ${high}`);
    return answer(incarnation, low + Math.floor(incarnation.runtime.random.next() * (high - low)), callback);
  };
  replace(crypto, "randomInt", randomInt);
  replace(crypto, "randomUUID", () => {
    const incarnation = currentIncarnation();
    return incarnation ? uuid(incarnation) : realUuid();
  });
}

function answer<T>(incarnation: Incarnation, value: T, callback: Callback<T> | undefined): T | undefined {
  if (!callback) return value;
  incarnation.runtime.timers.immediate(() => callback(null, value));
  return undefined;
}

function fill<T extends Fillable>(incarnation: Incarnation, view: T, offset = 0, size?: number): T {
  const isView = ArrayBuffer.isView(view);
  const unit = isView && "BYTES_PER_ELEMENT" in view ? (view.BYTES_PER_ELEMENT as number) : 1;
  const bytes = isView
    ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    : new Uint8Array(view as ArrayBuffer);
  const from = offset * unit;
  const length = size === undefined ? bytes.length - from : size * unit;
  bytes.set(incarnation.runtime.random.bytes(length), from);
  return view;
}

/** Version 4 (RFC 9562, section 5.4). */
function uuid(incarnation: Incarnation): string {
  const bytes = Buffer.from(incarnation.runtime.random.bytes(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
