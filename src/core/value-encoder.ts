import { types } from "node:util";
import { copyBytes } from "./bytes.ts";
import { invalidArgument, LimitError, UnsupportedError } from "./errors.ts";
import { isOpaque } from "./opaque-objects.ts";
import { writeUtf8 } from "./utf8.ts";
import { binaryKinds, DEEPEST, extension, LARGEST_VALUE, littleEndian, token } from "./value-format.ts";
import { pathName } from "./value-path.ts";

const SCRATCH_BYTES = 8192;
const LARGEST_SCRATCH_KEPT = 1024 * 1024;

/** Up to this many objects, a search through a list beats a `Map`. */
const FEW_OBJECTS = 16;

/** Below this length, a loop over the characters beats a call into native code. */
const SHORT_STRING = 40;

const allowed =
  "structured-cloneable values: null, booleans, numbers, bigints, strings without lone surrogates, arrays, objects, bytes, " +
  "Date, RegExp, Map, Set, Error, typed arrays; no functions, symbols, promises or weak references";

const typedArrayName = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype) as object,
  Symbol.toStringTag,
)?.get as (this: unknown) => string | undefined;

/** What `new Number(…)` and its like may hold. */
const primitiveTypes: ReadonlySet<string> = new Set(["number", "string", "boolean", "bigint"]);

/** Encodes one value at a time; validates in the same pass. Not re-entrant: getters of a value may need another encoder. */
export class ValueEncoder {
  #bytes = new Uint8Array(SCRATCH_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  /** The objects met, by number, while they are few. */
  readonly #objects: object[] = [];
  /** The numbers of all objects met, once they are many. */
  #numbers: Map<object, number> | undefined;
  /** How the place that is being written is reached, one step per level. Only the first `depth` steps are current. */
  readonly #path: (string | number)[] = [];
  #name = "";

  /** @param name the argument's name as its caller knows it, for messages */
  encode(value: unknown, name: string): Uint8Array {
    this.#at = 0;
    this.#name = name;
    try {
      this.#value(value, 0);
      if (this.#at > LARGEST_VALUE) throw this.#tooLarge();
      return copyBytes(this.#bytes, 0, this.#at);
    } finally {
      this.#objects.length = 0;
      this.#numbers = undefined;
      if (this.#bytes.length > LARGEST_SCRATCH_KEPT) this.#resize(SCRATCH_BYTES);
    }
  }

  #resize(length: number): void {
    const bytes = new Uint8Array(length);
    bytes.set(this.#bytes.subarray(0, Math.min(this.#at, length)));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  /** Makes room for `more` bytes. Everything that writes calls it before. */
  #reserve(more: number): void {
    const needed = this.#at + more;
    if (needed <= this.#bytes.length) return;
    // A string reserves three bytes per unit and mostly needs one: hence the slack before it counts as too large.
    if (this.#at > LARGEST_VALUE || more > 3 * LARGEST_VALUE) throw this.#tooLarge();
    this.#resize(Math.max(needed, this.#bytes.length * 2));
  }

  #tooLarge(): LimitError {
    return new LimitError(`${this.#name}: more than ${LARGEST_VALUE} bytes encoded; store it as a blob`, {
      details: { name: this.#name, given: this.#at, limit: LARGEST_VALUE },
    });
  }

  #value(value: unknown, depth: number): void {
    switch (typeof value) {
      case "string":
        if (!this.#string(value)) throw this.#refuse(value, depth);
        return;
      case "number":
        this.#number(value);
        return;
      case "object":
        if (value === null) this.#byte(token.nil);
        else this.#object(value, depth);
        return;
      case "boolean":
        this.#byte(value ? token.true : token.false);
        return;
      case "undefined":
        this.#reserve(3);
        this.#bytes[this.#at++] = token.fixext1;
        this.#bytes[this.#at++] = extension.undefined;
        this.#bytes[this.#at++] = 0;
        return;
      case "bigint":
        this.#bigint(value);
        return;
      default:
        throw this.#refuse(value, depth);
    }
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = byte;
  }

  #number(value: number): void {
    this.#reserve(9);
    const bytes = this.#bytes;
    // True for integers of 32 bits, signed or not, but -0.
    if (((value | 0) === value || value >>> 0 === value) && (value !== 0 || 1 / value > 0)) {
      if (value >= 0 ? value < 0x80 : value >= -0x20) {
        bytes[this.#at++] = value;
      } else {
        this.#integer(value);
      }
      return;
    }
    bytes[this.#at] = token.float64;
    this.#view.setFloat64(this.#at + 1, value);
    this.#at += 9;
  }

  #integer(value: number): void {
    const at = this.#at;
    const bytes = this.#bytes;
    if (value < -0x8000 || value > 0xffff) {
      bytes[at] = value < 0 ? token.int32 : token.uint32;
      this.#view.setUint32(at + 1, value);
      this.#at = at + 5;
    } else if (value < -0x80 || value > 0xff) {
      bytes[at] = value < 0 ? token.int16 : token.uint16;
      this.#view.setUint16(at + 1, value);
      this.#at = at + 3;
    } else {
      bytes[at] = value < 0 ? token.int8 : token.uint8;
      bytes[at + 1] = value;
      this.#at = at + 2;
    }
  }

  /** False if it has a lone surrogate; then nothing was written. */
  #string(text: string): boolean {
    const length = text.length;
    this.#reserve(3 * length + 5);
    if (length >= SHORT_STRING) return this.#longString(text);
    const bytes = this.#bytes;
    let at = this.#at;
    if (length < 32) {
      bytes[at++] = token.fixstr | length;
    } else {
      bytes[at++] = token.str8;
      bytes[at++] = length;
    }
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) return this.#longString(text);
      bytes[at++] = unit;
    }
    this.#at = at;
    return true;
  }

  #longString(text: string): boolean {
    if (!text.isWellFormed()) return false;
    const bytes = this.#bytes;
    const at = this.#at;
    // The header's size depends on the length in bytes: guess that all is ASCII, and move if not.
    const guessed = headerLength(text.length);
    const length = writeUtf8(bytes, text, at + guessed);
    const header = headerLength(length);
    if (header !== guessed) bytes.copyWithin(at + header, at + guessed, at + guessed + length);
    if (header === 1) {
      bytes[at] = token.fixstr | length;
    } else if (header === 2) {
      bytes[at] = token.str8;
      bytes[at + 1] = length;
    } else if (header === 3) {
      bytes[at] = token.str16;
      this.#view.setUint16(at + 1, length);
    } else {
      bytes[at] = token.str32;
      this.#view.setUint32(at + 1, length);
    }
    this.#at = at + header + length;
    return true;
  }

  #object(value: object, depth: number): void {
    const number = this.#numberOf(value);
    if (number >= 0) {
      this.#fixedExtension(token.fixext4, extension.reference);
      this.#view.setUint32(this.#at, number);
      this.#at += 4;
      return;
    }
    if (depth >= DEEPEST) throw this.#tooDeep(depth);
    if (Array.isArray(value)) {
      this.#array(value, depth);
      return;
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) this.#record(value, depth);
    else if (prototype === Uint8Array.prototype || prototype === Buffer.prototype)
      this.#bin(value as Uint8Array, depth);
    else this.#special(value, depth);
  }

  /** The object's number if it was met before; else -1, and it has one from now on. */
  #numberOf(value: object): number {
    const objects = this.#objects;
    if (this.#numbers === undefined) {
      const index = objects.indexOf(value);
      if (index >= 0) return index;
      objects.push(value);
      if (objects.length > FEW_OBJECTS) this.#numbers = new Map(objects.map((object, number) => [object, number]));
      return -1;
    }
    const number = this.#numbers.get(value);
    if (number !== undefined) return number;
    this.#numbers.set(value, this.#numbers.size);
    return -1;
  }

  #array(value: readonly unknown[], depth: number): void {
    const length = value.length;
    if (length > LARGEST_VALUE) throw this.#tooLarge();
    this.#header(length, token.fixarray, token.array16, token.array32);
    for (let i = 0; i < length; i++) {
      this.#path[depth] = i;
      this.#value(value[i], depth + 1);
    }
  }

  #record(value: object, depth: number): void {
    const keys = Object.keys(value);
    const length = keys.length;
    this.#header(length, token.fixmap, token.map16, token.map32);
    for (let i = 0; i < length; i++) {
      const key = keys[i] as string;
      this.#path[depth] = key;
      if (!this.#string(key)) throw this.#refuse(key, depth + 1);
      this.#value((value as Record<string, unknown>)[key], depth + 1);
    }
  }

  #header(length: number, fixed: number, token16: number, token32: number): void {
    this.#reserve(5);
    if (length < 16) {
      this.#bytes[this.#at++] = fixed | length;
    } else if (length < 0x10000) {
      this.#bytes[this.#at] = token16;
      this.#view.setUint16(this.#at + 1, length);
      this.#at += 3;
    } else {
      this.#bytes[this.#at] = token32;
      this.#view.setUint32(this.#at + 1, length);
      this.#at += 5;
    }
  }

  #bin(value: Uint8Array, depth: number): void {
    const length = value.length;
    this.#refuseDetached(value.buffer, length, depth);
    this.#reserve(length + 5);
    if (length < 0x100) {
      this.#bytes[this.#at++] = token.bin8;
      this.#bytes[this.#at++] = length;
    } else if (length < 0x10000) {
      this.#bytes[this.#at] = token.bin16;
      this.#view.setUint16(this.#at + 1, length);
      this.#at += 3;
    } else {
      this.#bytes[this.#at] = token.bin32;
      this.#view.setUint32(this.#at + 1, length);
      this.#at += 5;
    }
    this.#bytes.set(value, this.#at);
    this.#at += length;
  }

  #bigint(value: bigint): void {
    if (BigInt.asIntN(64, value) === value) {
      this.#fixedExtension(token.fixext8, extension.bigint);
      this.#view.setBigInt64(this.#at, value);
      this.#at += 8;
      return;
    }
    // One byte more than the magnitude needs leaves room for the sign.
    const length = Math.ceil((value < 0n ? -value : value).toString(16).length / 2) + 1;
    const digits = BigInt.asUintN(length * 8, value)
      .toString(16)
      .padStart(length * 2, "0");
    const start = this.#openExtension(extension.bigint);
    this.#reserve(length);
    this.#bytes.set(Buffer.from(digits, "hex"), this.#at);
    this.#at += length;
    this.#closeExtension(start);
  }

  /** Objects of built-in classes by their nature, whatever realm they come from; all others by their own enumerable properties. */
  #special(value: object, depth: number): void {
    if (types.isDate(value)) this.#date(value);
    else if (types.isMap(value)) this.#map(value, depth);
    else if (types.isSet(value)) this.#set(value, depth);
    else if (types.isRegExp(value)) this.#regexp(value, depth);
    else if (ArrayBuffer.isView(value)) this.#viewOf(value, depth);
    else if (types.isArrayBuffer(value)) this.#binary("ArrayBuffer", value, 0, value.byteLength, depth);
    else if (types.isNativeError(value) || value instanceof Error) this.#error(value, depth);
    else if (types.isBoxedPrimitive(value)) this.#boxed(value, depth);
    else if (isOpaque(value)) throw this.#refuse(value, depth);
    else this.#record(value, depth);
  }

  /** Header of an extension of fixed size; the caller writes the data, of at most 8 bytes. */
  #fixedExtension(size: number, type: number): void {
    this.#reserve(10);
    this.#bytes[this.#at++] = size;
    this.#bytes[this.#at++] = type;
  }

  /** Header of an extension whose length is filled in by `closeExtension`. */
  #openExtension(type: number): number {
    this.#reserve(6);
    this.#bytes[this.#at] = token.ext32;
    this.#bytes[this.#at + 5] = type;
    this.#at += 6;
    return this.#at;
  }

  #closeExtension(start: number): void {
    this.#view.setUint32(start - 5, this.#at - start);
  }

  #date(value: Date): void {
    this.#fixedExtension(token.fixext8, extension.date);
    this.#view.setFloat64(this.#at, Date.prototype.getTime.call(value));
    this.#at += 8;
  }

  #map(value: ReadonlyMap<unknown, unknown>, depth: number): void {
    // A copy, because a getter in an entry could change the map.
    const entries = [...Map.prototype.entries.call(value)];
    const start = this.#openExtension(extension.map);
    this.#header(2 * entries.length, token.fixarray, token.array16, token.array32);
    for (const [i, [key, entry]] of entries.entries()) {
      this.#path[depth] = `<key ${i}>`;
      this.#value(key, depth + 1);
      this.#path[depth] = `<value of key ${i}>`;
      this.#value(entry, depth + 1);
    }
    this.#closeExtension(start);
  }

  #set(value: ReadonlySet<unknown>, depth: number): void {
    const members = [...Set.prototype.values.call(value)];
    const start = this.#openExtension(extension.set);
    this.#header(members.length, token.fixarray, token.array16, token.array32);
    for (const [i, member] of members.entries()) {
      this.#path[depth] = `<member ${i}>`;
      this.#value(member, depth + 1);
    }
    this.#closeExtension(start);
  }

  #regexp(value: RegExp, depth: number): void {
    const start = this.#openExtension(extension.regexp);
    this.#path[depth] = "source";
    this.#value(value.source, depth + 1);
    this.#value(value.flags, depth + 1);
    this.#closeExtension(start);
  }

  #error(value: Error, depth: number): void {
    const start = this.#openExtension(extension.error);
    this.#path[depth] = "name";
    this.#value(typeof value.name === "string" ? value.name : "Error", depth + 1);
    this.#path[depth] = "message";
    this.#value(typeof value.message === "string" ? value.message : String(value.message), depth + 1);
    const caused = Object.hasOwn(value, "cause");
    this.#byte(caused ? token.true : token.false);
    if (caused) {
      this.#path[depth] = "cause";
      this.#value(value.cause, depth + 1);
    }
    this.#closeExtension(start);
  }

  #boxed(value: object, depth: number): void {
    const primitive: unknown = value.valueOf();
    if (!primitiveTypes.has(typeof primitive)) throw this.#refuse(primitive, depth);
    const start = this.#openExtension(extension.boxed);
    this.#value(primitive, depth);
    this.#closeExtension(start);
  }

  #viewOf(value: ArrayBufferView, depth: number): void {
    const kind = typedArrayName.call(value) ?? "DataView";
    if (kind === "Uint8Array") this.#bin(value as Uint8Array, depth);
    else this.#binary(kind, value.buffer, value.byteOffset, value.byteLength, depth);
  }

  #binary(kind: string, buffer: ArrayBufferLike, offset: number, length: number, depth: number): void {
    this.#refuseDetached(buffer, length, depth);
    if (!littleEndian)
      throw new UnsupportedError(`${kind}: this machine is big-endian, and stored ${kind}s are little-endian`);
    const start = this.#openExtension(extension.binary);
    this.#reserve(length + 1);
    this.#bytes[this.#at++] = binaryKinds.indexOf(kind);
    this.#bytes.set(new Uint8Array(buffer, offset, length), this.#at);
    this.#at += length;
    this.#closeExtension(start);
  }

  #refuseDetached(buffer: ArrayBufferLike, length: number, depth: number): void {
    if (length > 0 || !(buffer instanceof ArrayBuffer) || !buffer.detached) return;
    throw invalidArgument(this.#pathTo(depth), buffer, "bytes that were not transferred to another thread");
  }

  #refuse(value: unknown, depth: number): Error {
    return invalidArgument(this.#pathTo(depth), value, allowed);
  }

  #tooDeep(depth: number): Error {
    return invalidArgument(this.#pathTo(depth), `${depth + 1} levels of nesting`, `at most ${DEEPEST} levels`);
  }

  #pathTo(depth: number): string {
    return this.#name + pathName(this.#path.slice(0, depth));
  }
}

function headerLength(length: number): number {
  return length < 32 ? 1 : length < 0x100 ? 2 : length < 0x10000 ? 3 : 5;
}
