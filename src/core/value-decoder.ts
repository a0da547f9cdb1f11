import { copyBytes, toHex } from "./bytes.ts";
import { CorruptionError } from "./errors.ts";
import { readUtf8 } from "./utf8.ts";
import { binaryKinds, DEEPEST, extension, littleEndian, token } from "./value-format.ts";

/** Arrays are given their length beforehand up to this one; beyond, a false length would waste memory. */
const TRUSTED_LENGTH = 1024;

const errorClasses: Readonly<Record<string, ErrorConstructor>> = {
  __proto__: null as never,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** Keys of objects seen of late, by a hash of their bytes: saves making and interning the same few strings again and again. */
const keyCache: ({ readonly bytes: Uint8Array; readonly text: string } | undefined)[] = new Array(2048).fill(undefined);

const nothing: Uint8Array = new Uint8Array(0);

/** Decodes one value at a time. Every method throws `CorruptionError` rather than read past the end. */
export class ValueDecoder {
  #bytes = nothing;
  #view: DataView | undefined;
  #at = 0;
  /** The objects read, by number; `undefined` for one that has begun but cannot be referred to. */
  #objects: unknown[] = [];

  decode(bytes: Uint8Array): unknown {
    this.#bytes = bytes;
    this.#at = 0;
    try {
      const value = this.#value(0);
      if (this.#at !== bytes.length) throw this.#corrupt(`${bytes.length - this.#at} bytes too many`);
      return value;
    } finally {
      this.#bytes = nothing;
      this.#view = undefined;
      if (this.#objects.length > 0) this.#objects = [];
    }
  }

  #corrupt(what: string): CorruptionError {
    const bytes = this.#bytes;
    const shown = toHex(bytes.subarray(0, 32)) + (bytes.length > 32 ? "…" : "");
    return new CorruptionError(`an encoded value has ${what} at byte ${this.#at} (of ${bytes.length}: ${shown})`);
  }

  /** The position of the next `length` bytes, which are there. */
  #advance(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) throw this.#corrupt(`an early end (${length} bytes expected)`);
    this.#at = at + length;
    return at;
  }

  #viewOfAll(): DataView {
    const bytes = this.#bytes;
    this.#view ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return this.#view;
  }

  #u8(): number {
    return this.#bytes[this.#advance(1)] as number;
  }

  #u16(): number {
    const at = this.#advance(2);
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number);
  }

  #u32(): number {
    const at = this.#advance(4);
    const bytes = this.#bytes;
    const low = ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
    return (bytes[at] as number) * 0x1000000 + low;
  }

  #f64(): number {
    const at = this.#advance(8);
    return this.#viewOfAll().getFloat64(at);
  }

  #value(depth: number): unknown {
    const byte = this.#u8();
    if (byte < token.fixmap) return byte;
    if (byte >= token.negative) return byte - 0x100;
    if (byte < token.fixarray) return this.#record(byte & 0x0f, depth);
    if (byte < token.fixstr) return this.#array(byte & 0x0f, depth);
    if (byte < token.nil) return this.#string(byte & 0x1f);
    switch (byte) {
      case token.nil:
        return null;
      case token.false:
        return false;
      case token.true:
        return true;
      case token.str8:
        return this.#string(this.#u8());
      case token.str16:
        return this.#string(this.#u16());
      case token.str32:
        return this.#string(this.#u32());
      case token.array16:
        return this.#array(this.#u16(), depth);
      case token.array32:
        return this.#array(this.#u32(), depth);
      case token.map16:
        return this.#record(this.#u16(), depth);
      case token.map32:
        return this.#record(this.#u32(), depth);
      default:
        return byte >= token.float64 && byte <= token.int32 ? this.#number(byte) : this.#binaryOrExtension(byte, depth);
    }
  }

  #number(byte: number): number {
    switch (byte) {
      case token.uint8:
        return this.#u8();
      case token.uint16:
        return this.#u16();
      case token.uint32:
        return this.#u32();
      case token.int8:
        return (this.#u8() << 24) >> 24;
      case token.int16:
        return (this.#u16() << 16) >> 16;
      case token.int32:
        return this.#u32() | 0;
      case token.float64:
        return this.#f64();
      default:
        throw this.#unknown(byte);
    }
  }

  #unknown(byte: number): CorruptionError {
    this.#at -= 1;
    return this.#corrupt(`the unknown type byte 0x${byte.toString(16)}`);
  }

  #binaryOrExtension(byte: number, depth: number): unknown {
    switch (byte) {
      case token.bin8:
        return this.#bin(this.#u8());
      case token.bin16:
        return this.#bin(this.#u16());
      case token.bin32:
        return this.#bin(this.#u32());
      case token.fixext1:
        return this.#undefined();
      case token.fixext4:
        return this.#reference();
      case token.fixext8:
        return this.#fixedExtension();
      case token.ext32:
        return this.#extension(depth);
      default:
        throw this.#unknown(byte);
    }
  }

  #string(length: number): string {
    return this.#text(this.#advance(length), length);
  }

  /** Bytes that are there, as text. */
  #text(start: number, length: number): string {
    const text = readUtf8(this.#bytes, start, start + length);
    if (text === undefined) throw this.#corrupt("a string that is not UTF-8");
    return text;
  }

  #register(object: unknown): void {
    this.#objects.push(object);
  }

  #array(length: number, depth: number): unknown[] {
    this.#checkContent(length, depth);
    const array: unknown[] = length <= TRUSTED_LENGTH ? new Array(length) : [];
    this.#register(array);
    for (let i = 0; i < length; i++) array[i] = this.#value(depth + 1);
    return array;
  }

  /** Each value takes a byte at least: a length that promises more is false. */
  #checkContent(length: number, depth: number): void {
    if (length > this.#bytes.length - this.#at) throw this.#corrupt(`an early end (${length} values expected)`);
    if (depth >= DEEPEST) throw this.#corrupt(`more than ${DEEPEST} levels`);
  }

  #record(length: number, depth: number): object {
    this.#checkContent(2 * length, depth);
    const object: Record<string, unknown> = {};
    this.#register(object);
    for (let i = 0; i < length; i++) {
      const key = this.#key();
      const value = this.#value(depth + 1);
      // Assigned, this one key would change the prototype.
      if (key === "__proto__")
        Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
      else object[key] = value;
    }
    return object;
  }

  #key(): string {
    const byte = this.#u8();
    if (byte >= token.fixstr && byte < token.nil) return this.#cachedText(byte & 0x1f);
    if (byte === token.str8) return this.#string(this.#u8());
    if (byte === token.str16) return this.#string(this.#u16());
    if (byte === token.str32) return this.#string(this.#u32());
    throw this.#corrupt("a property whose name is no string");
  }

  #cachedText(length: number): string {
    const start = this.#advance(length);
    const bytes = this.#bytes;
    let hash = length;
    for (let i = start; i < start + length; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0;
    const slot = (hash ^ (hash >>> 11)) & 2047;
    const cached = keyCache[slot];
    if (cached !== undefined && sameBytes(cached.bytes, bytes, start, length)) return cached.text;
    const text = this.#text(start, length);
    keyCache[slot] = { bytes: copyBytes(bytes, start, start + length), text };
    return text;
  }

  #bin(length: number): Uint8Array {
    const start = this.#advance(length);
    const copy = copyBytes(this.#bytes, start, start + length);
    this.#register(copy);
    return copy;
  }

  #undefined(): undefined {
    if (this.#u8() !== extension.undefined || this.#u8() !== 0) throw this.#corrupt("an unknown extension");
    return undefined;
  }

  #reference(): unknown {
    if (this.#u8() !== extension.reference) throw this.#corrupt("an unknown extension");
    const object = this.#objects[this.#u32()];
    if (object === undefined) throw this.#corrupt("a reference to an object that is not there");
    return object;
  }

  #fixedExtension(): unknown {
    const type = this.#u8();
    if (type === extension.bigint) return this.#viewOfAll().getBigInt64(this.#advance(8));
    if (type !== extension.date) throw this.#corrupt("an unknown extension");
    const date = new Date(this.#f64());
    this.#register(date);
    return date;
  }

  #extension(depth: number): unknown {
    if (depth >= DEEPEST) throw this.#corrupt(`more than ${DEEPEST} levels`);
    const length = this.#u32();
    const type = this.#u8();
    const end = this.#advance(length) + length;
    this.#at = end - length;
    const value = this.#content(type, end, depth);
    if (this.#at !== end) throw this.#corrupt("an extension of the wrong length");
    return value;
  }

  #content(type: number, end: number, depth: number): unknown {
    switch (type) {
      case extension.map:
        return this.#map(depth);
      case extension.set:
        return this.#set(depth);
      case extension.error:
        return this.#error(depth);
      case extension.regexp:
        return this.#regexp(depth);
      case extension.boxed:
        return this.#boxed(depth);
      case extension.binary:
        return this.#binary(end);
      case extension.bigint:
        return this.#bigint(end);
      default:
        throw this.#corrupt("an unknown extension");
    }
  }

  /** The length from an array header. */
  #count(depth: number): number {
    const byte = this.#u8();
    let length: number;
    if (byte >= token.fixarray && byte < token.fixstr) length = byte & 0x0f;
    else if (byte === token.array16) length = this.#u16();
    else if (byte === token.array32) length = this.#u32();
    else throw this.#corrupt("no count where one belongs");
    this.#checkContent(length, depth);
    return length;
  }

  #map(depth: number): Map<unknown, unknown> {
    const count = this.#count(depth);
    if (count % 2 === 1) throw this.#corrupt("a key without a value");
    const map = new Map<unknown, unknown>();
    this.#register(map);
    for (let i = 0; i < count; i += 2) map.set(this.#value(depth + 1), this.#value(depth + 1));
    return map;
  }

  #set(depth: number): Set<unknown> {
    const count = this.#count(depth);
    const set = new Set<unknown>();
    this.#register(set);
    for (let i = 0; i < count; i++) set.add(this.#value(depth + 1));
    return set;
  }

  #textValue(depth: number): string {
    const text = this.#value(depth);
    if (typeof text !== "string") throw this.#corrupt("something else where a string belongs");
    return text;
  }

  #error(depth: number): Error {
    const number = this.#objects.push(undefined) - 1;
    const name = this.#textValue(depth + 1);
    const message = this.#textValue(depth + 1);
    const error = makeError(name, message);
    this.#objects[number] = error;
    const caused = this.#u8();
    if (caused === token.true) define(error, "cause", this.#value(depth + 1));
    else if (caused !== token.false) throw this.#corrupt("something else where a boolean belongs");
    return error;
  }

  #regexp(depth: number): RegExp {
    const number = this.#objects.push(undefined) - 1;
    const source = this.#textValue(depth + 1);
    const flags = this.#textValue(depth + 1);
    try {
      const expression = new RegExp(source, flags);
      this.#objects[number] = expression;
      return expression;
    } catch {
      throw this.#corrupt("an invalid regular expression");
    }
  }

  #boxed(depth: number): object {
    const number = this.#objects.push(undefined) - 1;
    const primitive = this.#value(depth + 1);
    if (primitive === null || primitive === undefined || typeof primitive === "object") {
      throw this.#corrupt("something else where a primitive belongs");
    }
    const boxed: object = Object(primitive);
    this.#objects[number] = boxed;
    return boxed;
  }

  #binary(end: number): ArrayBufferLike | ArrayBufferView {
    if (!littleEndian) throw this.#corrupt("a typed array, which big-endian machines cannot read,");
    const kind = binaryKinds[this.#u8()];
    const start = this.#at;
    if (kind === undefined || start > end) throw this.#corrupt("an unknown kind of binary data");
    const content = new Uint8Array(end - start);
    content.set(this.#bytes.subarray(start, end));
    this.#at = end;
    const binary = kind === "ArrayBuffer" ? content.buffer : this.#viewFrom(kind, content.buffer);
    this.#register(binary);
    return binary;
  }

  #viewFrom(kind: string, buffer: ArrayBuffer): ArrayBufferView {
    const View = (globalThis as unknown as Record<string, new (buffer: ArrayBuffer) => ArrayBufferView>)[kind];
    try {
      if (View !== undefined) return new View(buffer);
    } catch {
      // Not a multiple of the size of an element.
    }
    throw this.#corrupt(`no ${kind}`);
  }

  #bigint(end: number): bigint {
    const digits = toHex(this.#bytes.subarray(this.#at, end));
    if (digits === "") throw this.#corrupt("an empty bigint");
    this.#at = end;
    return BigInt.asIntN(digits.length * 4, BigInt(`0x${digits}`));
  }
}

function sameBytes(expected: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (expected.length !== length) return false;
  for (let i = 0; i < length; i++) if (expected[i] !== bytes[start + i]) return false;
  return true;
}

/** As the built-in constructors define properties of errors: not enumerable. */
function define(error: Error, property: string, value: unknown): void {
  Object.defineProperty(error, property, { value, writable: true, enumerable: false, configurable: true });
}

function makeError(name: string, message: string): Error {
  const error = new (errorClasses[name] ?? Error)(message);
  if (error.name !== name) define(error, "name", name);
  // The stack of its making was not stored, and that of its decoding would mislead.
  define(error, "stack", message === "" ? name : `${name}: ${message}`);
  return error;
}
